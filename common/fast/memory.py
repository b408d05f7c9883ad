"""Freed memory, kept for the next tensor of its size."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # mallopt's own numbers, from malloc.h


def keep_freed_memory() -> bool:
    """Ask glibc not to give large blocks back to the system each time they are freed.

    A training step on the CPU allocates and frees the same hundreds of megabytes over and over. By default
    each large block is mapped anew, and the system clears all its pages before it hands them out, which can
    cost as much as the arithmetic.

    Returns:
        Whether it was done; False where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        libc = ctypes.CDLL("libc.so.6")
        done = libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
        return bool(done and libc.mallopt(_TOP_PAD, 64 << 20))
    except (OSError, AttributeError):
        return False
