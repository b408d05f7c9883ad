"""What a student's process may use: bubblewrap around the server, limits and a lower account inside it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from common.catalogue import ROOT

NOBODY = 65534
_PR_SET_PDEATHSIG, _PR_SET_SUBREAPER, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 36, 4, 24
_KEPT = ("CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL")


@dataclass(frozen=True)
class Limits:
    """What one problem of one student may use."""

    seconds: float = 20.0  # of computing; three times that on the clock
    memory: int = 2048  # MiB, beyond what the harness itself has
    file_size: int = 32  # MiB a file
    folder: int = 128  # MiB in its working directory
    files: int = 128  # open at a time
    threads: int = 64

    @property
    def clock(self) -> float:
        """Seconds on the clock: for what waits rather than computes, or on a crowded machine."""
        return 3 * self.seconds


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def die_with_parent() -> None:
    """Let the kernel end this process when the one that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, 9)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, wherever setsid took it."""
    _prctl(_PR_SET_SUBREAPER, 1)


def close_memory() -> None:
    """Keep other processes of the same account from reading this one's memory through /proc."""
    _prctl(_PR_SET_DUMPABLE, 0)


def limit(limits: Limits) -> None:
    """Set the kernel's limits for this process and all that it starts."""
    mib = 1 << 20
    with open("/proc/self/statm") as file:
        mapped = int(file.read().split()[0]) * resource.getpagesize()
    for what, soft, hard in (
        (resource.RLIMIT_CPU, int(limits.seconds) + 1, int(limits.seconds) + 3),
        (resource.RLIMIT_AS, mapped + limits.memory * mib, mapped + limits.memory * mib),
        (resource.RLIMIT_FSIZE, limits.file_size * mib, limits.file_size * mib),
        (resource.RLIMIT_NOFILE, limits.files, limits.files),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
    ):
        most = resource.getrlimit(what)[1]
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(what, (soft, hard))


def limit_processes(most: int) -> None:
    """Only where system calls cannot be filtered; an account's limit counts all its processes."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def can_lower(paths: list[Path]) -> bool:
    """Whether the child can take an account that owns nothing, and still read the libraries."""
    if os.geteuid() != 0:
        return False
    child = os.fork()
    if child == 0:
        try:
            lower()
            for path in paths:
                with path.open("rb") as file:
                    file.read(1)
            os._exit(0)
        except BaseException:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def lower() -> None:
    """From root to an account that owns nothing. Its capabilities go with it."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def libraries() -> list[Path]:
    """A file of Python's own library and one of torch's, for `can_lower`."""
    paths = sysconfig.get_paths()
    return [
        Path(paths["stdlib"]) / "json" / "tool.py",
        Path(paths["purelib"]) / "torch" / "version.py",
    ]


def bubblewrap() -> tuple[str, str]:
    """The program's path, and why it is not used ("" if it is)."""
    if sys.platform != "linux":
        return "", "bubblewrap runs on Linux only"
    path = shutil.which("bwrap")
    if not path:
        return "", "bubblewrap (bwrap) is not installed"
    trial = [
        path,
        *_namespaces(),
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "true",
    ]
    try:
        done = subprocess.run(trial, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"bubblewrap does not start: {error}"
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip().splitlines()
        return "", f"bubblewrap cannot work here: {reason[-1] if reason else 'no reason given'}"
    return path, ""


def _namespaces() -> list[str]:
    flags = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    flags += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--hostname", "grading"]
    if os.geteuid() == 0:  # stays root inside, with what it takes to hand a child a lower account
        flags += ["--cap-drop", "ALL"]
        for name in _KEPT:
            flags += ["--cap-add", name]
        return flags
    return [*flags, "--unshare-user"]


def sandboxed(path: str, command: list[str], copies: Path) -> list[str]:
    """The command, in a view of its own: libraries and harness to read, a /tmp in memory, nothing else.

    Args:
        copies: holds copies of problems/ and solutions/, which the server empties before the first
            student's code runs.
    """
    view = [path, *_namespaces(), "--tmpfs", "/", "--proc", "/proc", "--dev", "/dev"]
    for each in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc/ld.so.cache", "/etc/alternatives",
                 "/etc/localtime"):  # fmt: skip
        if os.path.islink(each) and not each.startswith("/etc"):
            view += ["--symlink", os.readlink(each), each]
        elif os.path.exists(each):
            view += ["--ro-bind", each, each]
    view += ["--perms", "1777", "--size", str(512 << 20), "--tmpfs", "/tmp"]
    folders = dict.fromkeys(_real(p) for p in (sys.base_prefix, sys.prefix, *_outside()))
    above = {parent for each in (*folders, str(ROOT / "common")) for parent in Path(each).parents}
    for parent in sorted(map(str, above - {Path("/"), Path("/tmp"), Path("/usr")})):
        view += ["--perms", "0755", "--dir", parent]
    for folder in folders:
        view += ["--ro-bind", folder, folder]
    view += ["--ro-bind", str(ROOT / "common"), str(ROOT / "common")]
    for name in ("conftest.py", "pyproject.toml"):
        if (ROOT / name).is_file():
            view += ["--ro-bind", str(ROOT / name), str(ROOT / name)]
    for name in ("problems", "solutions"):
        view += ["--bind", str(copies / name), str(ROOT / name)]
    return [*view, "--remount-ro", "/", "--chdir", str(ROOT), *command]


def _real(folder: str) -> str:
    return str(Path(folder).absolute())


def _outside() -> list[str]:
    """The folder of the interpreter itself, where links lead out of the environment to it."""
    folder = os.path.dirname(os.path.realpath(sys.executable))
    inside = tuple(f"{_real(p)}/" for p in (sys.base_prefix, sys.prefix, "/usr"))
    return [] if (folder + "/").startswith(inside) else [folder]
