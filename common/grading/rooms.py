"""Rooms: what bubblewrap shuts a student's processes in, and the processes in it.

Agents  the warm process on this side (exchange/zygote.py) that students' processes are forked from
Room    a student's namespaces and folder; one process at a time answers in it, one for each problem
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from common.course.catalogue import ROOT
from common.errors import CourseError
from common.grading import libraries

_ZYGOTE = ROOT / "common" / "grading" / "exchange" / "zygote.py"
_TESTING = ROOT / "common" / "testing"
_ACCOUNTS = range(61000, 64000)  # of nobody on any usual system
_SPACE = 64 << 20  # bytes that the files of a room may take
_LONGEST = 1 << 16


@dataclass(frozen=True)
class Limits:
    """What one problem of one student may use: seconds of computing and on the clock, bytes."""

    seconds: float = 20.0
    memory: int = 2 << 30

    @property
    def patience(self) -> float:
        """Seconds on the clock after which it is ended."""
        return 2 * self.seconds + 10


def why_no_sandbox() -> str:
    """Why students' code cannot be shut in here; empty when it can."""
    if sys.platform != "linux":
        return "it needs Linux"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed (apt-get install bubblewrap)"
    try:
        with _bubblewrap(libraries.entries(("numpy",))) as (_, pid):
            os.close(os.pidfd_open(pid))
    except (OSError, CourseError) as error:
        return f"bubblewrap does not work here ({error})"
    return ""


class Agents:
    """The warm process. Where it runs as root it gives each room an account that owns nothing.

    Args:
        sandbox: shut each room in with bubblewrap.

    Raises:
        CourseError: it cannot be started, or not without staying root.
    """

    def __init__(self, *, sandbox: bool) -> None:
        self.sandbox, self.started = sandbox, 0
        if os.geteuid() == 0 and not sandbox:
            _all_can_read(Path(sys.base_prefix), *libraries.entries(("torch",)))
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        paths = str(_TESTING / "elsewhere.py"), str(_TESTING / "recording.py")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(_ZYGOTE), str(theirs.fileno()), *paths],
                pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE, env={"PATH": os.defpath, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                start_new_session=True, text=True,
            )  # fmt: skip
        self.said: dict[str, Any] = {}

    def wait(self) -> None:
        """Wait until it is warm."""
        if not self.said:
            self.said = _heard(self.orders) or {}
        if not self.said.get("ready"):
            assert self.process.stderr
            says = self.process.stderr.read()
            raise CourseError(f"the process for submissions does not start: {says}")

    @property
    def filters(self) -> bool:
        """Whether system calls are filtered."""
        return not self.said["filter"]

    def account(self) -> int | None:
        """An account for the next room; None for this process's own, where it is not root."""
        self.started += 1
        return _ACCOUNTS[self.started % len(_ACCOUNTS)] if os.geteuid() == 0 else None

    def close(self) -> None:
        self.orders.close()
        self.process.wait()
        assert self.process.stderr
        self.process.stderr.close()


class Room:
    """One student's room. Whatever is in it ends with it.

    Args:
        distributions: what may be imported there.
    """

    def __init__(self, agents: Agents, distributions: tuple[str, ...]) -> None:
        self.distributions = distributions
        self.orders, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.around = contextlib.ExitStack()
        self.around.callback(self.orders.close)
        self.account = agents.account()
        self.about: dict[str, Any] = {
            "account": self.account, "filter": agents.filters, "hide": False, "room": None,
            "processes": 50 if self.account else 4096,
        }  # fmt: skip
        try:
            if agents.sandbox:
                _, self.about["room"] = self.around.enter_context(
                    _bubblewrap(libraries.entries(distributions))
                )
                self.about["folder"] = "/tmp"
            else:
                self._without_a_sandbox(agents)
            with theirs:
                socket.send_fds(agents.orders, [json.dumps(self.about).encode()], [theirs.fileno()])
            if not (said := _heard(self.orders) or {}).get("ready"):
                raise CourseError(
                    f"a submission cannot be shut in: {said.get('failed', 'its process has ended')}"
                )
        except BaseException:
            self.close()
            raise

    def _without_a_sandbox(self, agents: Agents) -> None:
        folder = self.around.enter_context(
            tempfile.TemporaryDirectory(prefix="gpt2-", ignore_cleanup_errors=True)
        )
        if self.account is not None:
            os.chown(folder, self.account, self.account)
        seen = [*libraries.pythons(), *libraries.entries(self.distributions)]
        self.about |= {
            "folder": folder, "hide": agents.said["hide"],
            "readable": [str(p) for p in seen] + ["/dev/null", "/dev/urandom"],
        }  # fmt: skip

    def begin(self, limits: Limits) -> tuple[socket.socket, int]:
        """Start a process that answers on this socket; its number is for `end`.

        Raises:
            CourseError: the room is gone.
        """
        ours, theirs = socket.socketpair()
        order = {"seconds": limits.seconds, "memory": limits.memory}
        with theirs, contextlib.suppress(OSError):
            socket.send_fds(self.orders, [json.dumps(order).encode()], [theirs.fileno()])
        said = _heard(self.orders)
        if said is None:
            ours.close()
            raise CourseError("the room of a submission is gone")
        return ours, said["began"]

    def end(self, number: int, *, kill: bool) -> int | None:
        """How the process ended, as waitstatus_to_exitcode says it; None where the room went with it.

        Args:
            kill: do not wait for it to end by itself.
        """
        if kill:
            with contextlib.suppress(OSError):
                self.orders.send(json.dumps({"end": number}).encode())
        said = _heard(self.orders)
        return said["ended"] if said else None

    def close(self) -> None:
        """End everything in it."""
        self.around.close()


def _heard(orders: socket.socket) -> dict[str, Any] | None:
    try:
        data = orders.recv(_LONGEST)
    except OSError:
        return None
    return json.loads(data) if data else None


@contextlib.contextmanager
def _bubblewrap(entries: frozenset[Path]) -> Any:
    """Namespaces with these packages, Python and an empty /tmp in them: the process that holds them, and its number."""
    ours, theirs = os.pipe()
    try:
        process = subprocess.Popen(
            [*_command(entries), "--json-status-fd", str(theirs), "--", shutil.which("cat") or "cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, pass_fds=[theirs],
        )  # fmt: skip
    finally:
        os.close(theirs)
    assert process.stdin
    assert process.stdout
    assert process.stderr
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(b".")  # cat writes it back once everything is in its place
            process.stdin.flush()
        if process.stdout.read(1) != b".":
            raise CourseError(process.stderr.read().decode("utf-8", "replace").strip())
        yield process, json.loads(os.read(ours, _LONGEST).splitlines()[0])["child-pid"]
    finally:
        os.close(ours)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


@cache
def _command(entries: frozenset[Path]) -> tuple[str, ...]:
    shelves, pythons = libraries.shelves(), libraries.pythons()
    command = ["bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
               "--die-with-parent", "--as-pid-1", "--new-session", "--clearenv", "--cap-drop", "ALL"]  # fmt: skip
    if os.geteuid() != 0:
        command.append("--unshare-user")
    size = ["--size", str(_SPACE)] if "--size" in _help() else []
    command += ["--dev", "/dev", "--perms", "1777", *size, "--tmpfs", "/tmp"]
    # Folders that lead to others are made by bubblewrap for its own account alone, unless they are asked for.
    above = {parent for path in [*pythons, *shelves, *entries] for parent in path.parents}
    above = {p for p in above if not any(p.is_relative_to(q) for q in pythons)} - {
        Path("/"),
        Path("/tmp"),
    }
    for path in sorted(above):
        command += ["--perms", "0755", "--dir", str(path)]
    for path in pythons:
        link = path.is_symlink()
        command += (
            ["--symlink", os.readlink(path), str(path)]
            if link
            else ["--ro-bind", str(path), str(path)]
        )
    for path in shelves:
        command += ["--perms", "0755", "--tmpfs", str(path)]
    for path in sorted(entries):
        command += ["--ro-bind", str(path), str(path)]
    return *command, "--chdir", "/tmp"


def _help() -> str:
    return subprocess.run(["bwrap", "--help"], capture_output=True, text=True, check=False).stdout


def _all_can_read(*paths: Path) -> None:
    """Make sure that an account that owns nothing can use Python.

    Raises:
        CourseError: it cannot, so a submission would have to run as root.
    """
    for path in paths:
        for each in (path.resolve(), *path.resolve().parents):
            if not each.stat().st_mode & (0o001 if each.is_dir() else 0o004):
                raise CourseError(
                    f"{each} can be read by root alone, so nobody else can run Python from {path}: "
                    "install bubblewrap, or grade from another account than root"
                )
