"""What a student's process says it changed, while a check is to hear it: done here, and undone afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Believed:
    """The check's tensors, lists and dicts as they are said to be now, and their past."""

    def __init__(self) -> None:
        self.before: dict[int, tuple[Any, Any]] = {}  # by identity: the thing, and what it held

    def tensor(self, tensor: Tensor, numbers: Tensor) -> None:
        """Give a tensor these numbers."""
        if id(tensor) not in self.before and not tensor.is_inference():
            self.before[id(tensor)] = tensor, tensor.detach().clone()
        _overwrite(tensor, numbers)

    def container(self, container: Any, content: Any) -> None:
        """Give a list or dict this content."""
        if id(container) not in self.before:
            self.before[id(container)] = container, container.copy()
        _refill(container, content)

    def undo(self) -> None:
        """Put everything back: what a check holds for good comes before other students as it is."""
        for thing, held in self.before.values():
            if isinstance(thing, Tensor):
                _overwrite(thing, held)
            else:
                _refill(thing, held)
        self.before.clear()


def _overwrite(tensor: Tensor, new: Tensor) -> None:
    expanded = (
        0 in tensor.stride() and tensor.numel() > 1
    )  # several places share one number: no copying into it
    if (tensor.shape, tensor.dtype) == (new.shape, new.dtype) and not expanded:
        with torch.no_grad():
            tensor.copy_(new)
    elif (tensor.numel(), tensor.dtype) == (new.numel(), new.dtype) and not tensor.requires_grad:
        tensor.data = new  # it was given another shape in place


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, list) and isinstance(content, list):
        container[:] = content
    elif isinstance(container, dict) and isinstance(content, Mapping):
        container.clear()
        container.update(content)
