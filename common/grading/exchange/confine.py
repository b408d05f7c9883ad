"""What a process gives up before it runs a student's code. Linux only; each step is a call of the kernel's.

enter(room)      the namespaces that bubblewrap made (rooms.py): files, processes, network
become(account)  an account that owns nothing, where this is root
limit(...)       seconds, memory, size of files
filter_calls()   all system calls but those that computing takes, by libseccomp
see_only(...)    where there is no room: the files that Landlock leaves in sight
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import struct
from collections.abc import Sequence
from pathlib import Path

_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x20000000 | 0x40000000
_USER_NAMESPACE = 0x10000000
_SET_NO_NEW_PRIVILEGES = 38  # of prctl
_CAPSET = {"x86_64": 126, "aarch64": 91}
_LANDLOCK = 444, 445, 446  # create a ruleset, add a rule, restrict: the same on every architecture
_READ, _EVERYTHING = (
    0b1101,
    (1 << 13) - 1,
)  # execute, read files and folders; all of the first version

# fmt: off
_ALLOWED = """
    read pread64 readv preadv write writev pwrite64 close close_range lseek openat open stat fstat lstat newfstatat
    statx statfs fstatfs access faccessat faccessat2 readlink readlinkat getdents64 getcwd chdir mkdir mkdirat
    unlink unlinkat rmdir rename renameat renameat2 ftruncate fallocate fadvise64 fsync fdatasync flock dup dup2
    dup3 umask utimensat
    mmap munmap mprotect mremap madvise brk msync mincore membarrier
    futex sched_yield rseq set_robust_list set_tid_address
    clock_gettime clock_getres clock_nanosleep nanosleep gettimeofday time
    rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack
    exit exit_group getpid gettid getppid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp getsid
    getrusage times sysinfo uname getrandom getcpu sched_getaffinity getrlimit getpriority
    poll ppoll select pselect6 recvfrom sendto recvmsg sendmsg getsockopt getsockname
""".split()  # noqa: SIM905
# fmt: on
_ALLOWED_FCNTL = (
    0,
    1,
    2,
    3,
    1030,
)  # copy a descriptor, close on exec, read flags; nobody's signals


def libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def enter(room: int) -> None:
    """Move into the namespaces of the process `room`; for processes it counts from the next fork on.

    Raises:
        OSError: the kernel is older than 5.8, or the process is somebody else's.
    """
    handle = os.pidfd_open(room)
    kinds = _NAMESPACES | (0 if os.geteuid() == 0 else _USER_NAMESPACE)
    _check(libc().setns(handle, kinds), "setns")
    os.close(handle)
    os.chdir("/")


def become(account: int | None) -> None:
    """Go on as an account that owns nothing, and without any privilege; None stays with the own one."""
    if account is not None:
        os.setgroups([])
        os.setresgid(account, account, account)
        os.setresuid(account, account, account)
    _check(libc().prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")
    if (number := _CAPSET.get(os.uname().machine)) is not None:
        header = struct.pack("=Ii", 0x20080522, 0)
        _check(libc().syscall(number, header, bytes(24)), "capset")


def size() -> int:
    """The bytes of address space that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def limit(*, seconds: float, memory: int, processes: int) -> None:
    """Set what this process may use.

    Args:
        seconds: of computing. memory: bytes of address space. processes: of its account.
    """
    import resource

    limits = {
        resource.RLIMIT_CPU: math.ceil(seconds) + 1,
        resource.RLIMIT_AS: memory,
        resource.RLIMIT_FSIZE: 16 << 20,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NPROC: processes,
    }
    for kind, most in limits.items():
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # A second between the two: at the first a signal tells why, at the second there is no way around it.
        resource.setrlimit(kind, (max(most - 1, 1) if kind == resource.RLIMIT_CPU else most, most))


def limit_memory(most: int) -> None:
    """Limit the address space of this process to so many bytes."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(
        resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
    )


def can_filter() -> str:
    """Why system calls cannot be filtered here; empty when they can."""
    try:
        import pyseccomp
    except (ImportError, RuntimeError, OSError) as error:
        return f"pyseccomp or the system's libseccomp is missing ({error})"
    del pyseccomp
    return ""


def filter_calls() -> None:
    """Allow the system calls that computing takes; any other one fails with EPERM."""
    import pyseccomp

    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(1))
    for name in _ALLOWED:
        with contextlib.suppress(OSError, ValueError):  # some architectures lack a few
            rules.add_rule(pyseccomp.ALLOW, name)
    for command in _ALLOWED_FCNTL:
        rules.add_rule(pyseccomp.ALLOW, "fcntl", pyseccomp.Arg(1, pyseccomp.EQ, command))
    rules.add_rule(pyseccomp.ERRNO(38), "clone3")
    rules.load()


def can_hide() -> bool:
    """Whether the kernel has Landlock."""
    return libc().syscall(_LANDLOCK[0], None, 0, 1) > 0


def see_only(readable: Sequence[Path], writable: Sequence[Path]) -> None:
    """Leave only these folders and files in sight of the file system; needs `become` before."""
    create, add, restrict = _LANDLOCK
    rules = _check(libc().syscall(create, struct.pack("=Q", _EVERYTHING), 8, 0), "Landlock")
    for paths, access in ((readable, _READ), (writable, _EVERYTHING)):
        for path in paths:
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
            allowed = access if path.is_dir() else access & 0b111
            rule = struct.pack("=Qi", allowed, handle)
            _check(libc().syscall(add, rules, 1, rule, 0), f"Landlock, {path}")
            os.close(handle)
    _check(libc().syscall(restrict, rules, 0), "Landlock")
    os.close(rules)
