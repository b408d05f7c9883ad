"""A filter on system calls for a process that is about to run a student's code (Linux seccomp).

A solution computes: it needs no process, socket, signal to others, timer or tracing. The kernel answers
"not permitted" to all of these, whatever language or library asks. No privilege is needed to give rights up.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys

# What is refused, by name, with its number on x86-64 and on arm64 (None: not there).
_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "connect": (42, 203),
    "bind": (49, 200),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438),
    "pidfd_send_signal": (424, 424),
    "rt_sigaction": (13, 134),
    "alarm": (37, None),
    "setitimer": (38, 103),
    "timer_create": (222, 107),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "setpriority": (141, 140),
    "sched_setattr": (314, 274),
    "sched_setscheduler": (144, 119),
    "personality": (135, 92),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "seccomp": (317, 277),
    "memfd_create": (319, 279),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
}
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_CLONE, _CLONE3, _KILL, _TGKILL = (56, 220), (435, 435), (62, 129), (234, 131)
_PRLIMIT, _PRCTL = (302, 261), (157, 167)
_CLONE_THREAD, _PR_SET_NAME = 0x10000, 15

_ALLOW, _REFUSE, _ABSENT = 0x7FFF0000, 0x00050001, 0x00050026  # errno 1 and 38
_LOAD, _EQUAL, _AT_LEAST, _HAS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP = 38, 22


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]


def available() -> bool:
    """Whether this machine's system calls are known here; whether the kernel agrees shows on install."""
    return sys.platform == "linux" and platform.machine() in _MACHINES


def _program(own: int) -> bytes:
    """The filter as BPF: one return for what is allowed, one for what is not."""
    which, architecture = _MACHINES[platform.machine()]
    code: list[tuple[int, int, int, int]] = []

    def returns(what: int) -> None:
        code.append((_RETURN, 0, 0, what))

    def first_argument(number: int, test: int, value: int) -> None:
        """This call only with such a first argument."""
        code.append((_EQUAL, 0, 4, number))
        code.append((_LOAD, 0, 0, 16))
        code.append((test, 0, 1, value))
        returns(_ALLOW)
        returns(_REFUSE)

    code.append((_LOAD, 0, 0, 4))
    code.append((_EQUAL, 1, 0, architecture))
    returns(_REFUSE)
    code.append((_LOAD, 0, 0, 0))
    code.append((_AT_LEAST, 0, 1, 0x40000000))  # x86-64's second set of numbers
    returns(_REFUSE)
    first_argument(_CLONE[which], _HAS, _CLONE_THREAD)
    first_argument(_KILL[which], _EQUAL, own)
    first_argument(_TGKILL[which], _EQUAL, own)
    first_argument(_PRLIMIT[which], _EQUAL, 0)
    first_argument(_PRCTL[which], _EQUAL, _PR_SET_NAME)
    code.append((_EQUAL, 0, 1, _CLONE3[which]))
    returns(_ABSENT)  # then libc takes clone, whose flags can be read
    for numbers in _REFUSED.values():
        if (number := numbers[which]) is not None:
            code.append((_EQUAL, 0, 1, number))
            returns(_REFUSE)
    returns(_ALLOW)
    return b"".join(struct.pack("=HBBI", *line) for line in code)


def install() -> bool:
    """Give up the calls above for this process, for good; False where the kernel has no such filter."""
    if not available():
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    code = _program(os.getpid())
    program = _Program(len(code) // 8, code)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    return libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(program), 0, 0) == 0
