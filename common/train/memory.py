"""Where a training step's memory goes: freed blocks kept for the next tensor, gradients never all alive."""

from __future__ import annotations

import ctypes
import sys

import torch
from torch import Tensor

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -2, -3, -4  # mallopt's, from malloc.h


def keep_freed_memory(keep: bool = True) -> bool:
    """Ask glibc not to give large blocks back to the system each time they are freed.

    A training step on the CPU allocates and frees the same hundreds of megabytes over and over. By default
    each large block is mapped anew, and the system clears all its pages before it hands them out, which can
    cost as much as the arithmetic.

    Args:
        keep: False goes back to glibc's own way.

    Returns:
        Whether it was done; False where the C library is another one.
    """
    if not sys.platform.startswith("linux"):
        return False
    if keep:
        wanted = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 << 20}
    else:
        # Where glibc's own thresholds, which move with what is freed, end up under large blocks.
        wanted = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 64 << 20, _TOP_PAD: 128 << 10}
        wanted[_MMAP_THRESHOLD] = 32 << 20
    try:
        libc = ctypes.CDLL("libc.so.6")
        done = [libc.mallopt(option, value) for option, value in wanted.items()]
        if not keep:
            libc.malloc_trim(0)
        return all(done)
    except (OSError, AttributeError):
        return False


def step_in_backward(optimizer: torch.optim.Optimizer) -> None:
    """Let backward() update each parameter as soon as its gradient is complete, and free the gradient.

    Gradients of the whole model are then never held at a time: a quarter of what AdamW needs, less. What needs
    all of them at once, such as clipping their norm or adding up those of several batches, cannot be had.
    """

    def update(parameter: Tensor) -> None:
        optimizer.step()  # passes over the parameters without a gradient: all but this one
        parameter.grad = None

    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.register_post_accumulate_grad_hook(update)
