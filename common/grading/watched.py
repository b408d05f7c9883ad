"""A child under way, seen from outside: its limits, its end, and what it leaves behind."""

from __future__ import annotations

import contextlib
import os
import resource
import select
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from common.grading import sandbox

MOST = 64 << 20  # bytes of an answer


class Watched:
    """A child under way: what it has sent, and whether it is within its limits."""

    def __init__(self, pid: int, pipe: int, workplace: Path, limits: sandbox.Limits) -> None:
        self.pid, self.pipe, self.workplace, self.limits = pid, pipe, workplace, limits
        self.received = b""
        self.deadline = time.monotonic() + limits.clock
        self.base = 0

    def wait(self) -> str:
        """Read until the pipe closes or a limit is passed; which one, or how the process ended."""
        looked = 0.0
        while True:
            ready = select.select([self.pipe], [], [], 0.05)[0]
            if ready:
                data = os.read(self.pipe, 1 << 20)
                self.received += data
                if self.received.endswith(b"\n") and b'{"end":' in self.received[-200:]:
                    return ""
                if not data:
                    return self._how()
                if len(self.received) > MOST:
                    return "it sent more than an answer can hold"
            now = time.monotonic()
            if now - looked > 0.05:
                looked = now
                if passed := self._passed(now):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.pid, signal.SIGXCPU)  # writes down where it is
                    time.sleep(0.1)
                    return passed

    def _passed(self, now: float) -> str:
        if now > self.deadline:
            return f"time was up ({self.limits.clock:g} s on the clock)"
        try:
            with open(f"/proc/{self.pid}/statm") as file:
                resident = int(file.read().split()[1]) * resource.getpagesize() >> 20
            with open(f"/proc/{self.pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except (OSError, IndexError, ValueError):
            return ""
        self.base = self.base or resident
        if resident > self.base + self.limits.memory:
            return f"more than {self.limits.memory} MiB of memory"
        ticks = os.sysconf("SC_CLK_TCK")
        if (int(fields[11]) + int(fields[12])) / ticks > self.limits.seconds:
            return f"time was up ({self.limits.seconds:g} s of computing)"
        if int(fields[17]) > self.limits.threads:
            return f"more than {self.limits.threads} threads"
        if _size(self.workplace) > self.limits.folder << 20:
            return f"more than {self.limits.folder} MiB of files"
        return ""

    def _how(self) -> str:
        for _ in range(20):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                if code in (-signal.SIGXCPU, -signal.SIGKILL):
                    return "it was killed at a limit of the kernel"
                return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
            time.sleep(0.01)
        return "it closed the channel of results"


def _size(folder: Path) -> int:
    total = 0
    try:
        with os.scandir(folder) as entries:
            for number, entry in enumerate(entries):
                if number > 2000:
                    return 1 << 50
                if entry.is_dir(follow_symlinks=False):
                    total += _size(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
    except (OSError, RecursionError):
        pass
    return total


def end_all(child_pid: int) -> None:
    """End the child and everything that it left behind, in whatever session."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            kill(child_pid, signal.SIGKILL)
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG)[0]:
                continue
        except ChildProcessError:
            return
        for pid in _children():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def _children() -> list[int]:
    own, found = os.getpid(), []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with (
                contextlib.suppress(OSError, IndexError, ValueError),
                open(f"/proc/{name}/stat") as file,
            ):
                if int(file.read().rpartition(")")[2].split()[1]) == own:
                    found.append(int(name))
    return found


def remove(folder: Path) -> None:
    """Delete a child's working directory, whatever rights it left there."""

    def again(function: Any, path: str, _: Any) -> None:
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            os.chmod(path, 0o700)
            function(path)

    shutil.rmtree(folder, onerror=again)
    shutil.rmtree(folder, ignore_errors=True)
