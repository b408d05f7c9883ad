"""Tensors that both sides hold: parameters, buffers, and leaves that somebody optimizes.

Each message brings what has changed since the last one, so both sides go on with the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from .values import ELSEWHERE, Reader, Writer, data_of, is_elsewhere


class Slot:
    """One such tensor.

    Args:
        place: for a buffer the module and name that it stands under, as code may put another tensor there.
        loose: it is no part of a module; then its gradient is held on both sides, too.
    """

    def __init__(
        self, tensor: Tensor, place: tuple[nn.Module, str] | None = None, *, loose: bool = False
    ) -> None:
        self.tensor, self.place, self.loose = tensor, place, loose
        self.known: tuple[Any, ...] | None = None  # what the other side has
        self.address = 0

    @property
    def is_new(self) -> bool:
        """Nothing was said of it yet."""
        return self.address == 0

    def now(self) -> Tensor:
        """The tensor as it is on this side."""
        if self.place:
            module, name = self.place
            return cast(Tensor, module._buffers[name])
        return self.tensor

    def state(self) -> tuple[Any, ...]:
        """All that is held on both sides."""
        tensor = self.now()
        grad = data_of(tensor.grad) if self.loose and tensor.grad is not None else None
        return tensor.dtype, tensor.shape, tensor.requires_grad, grad, data_of(tensor)

    def changes(self, writer: Writer) -> list[Any] | None:
        """What the other side does not know yet: numbers, gradient, requires_grad, is it other memory."""
        tensor, state = self.now(), self.state()
        if state == self.known:
            return None
        moved = self.address not in (0, tensor.data_ptr())
        self.known, self.address = state, tensor.data_ptr()
        grad = writer.tensor(tensor.grad) if self.loose and tensor.grad is not None else None
        flags = ELSEWHERE if is_elsewhere(tensor) else 0
        return [writer.tensor(tensor.detach(), flags), grad, tensor.requires_grad, moved]

    def take(self, reader: Reader, node: list[Any]) -> None:
        """Put in what the other side has changed."""
        numbers, grad, needs_grad, moved = node
        tensor, new = self.now(), reader.tensor(numbers)
        same = (tensor.dtype, tensor.shape) == (new.dtype, new.shape)
        with torch.no_grad():
            if same and not moved:
                tensor.copy_(new)
            else:
                tensor.data = new
            if (
                needs_grad is not tensor.requires_grad
                and tensor.is_leaf
                and tensor.is_floating_point()
            ):
                tensor.requires_grad_(bool(needs_grad))
            if self.loose:
                tensor.grad = None if grad is None else reader.tensor(grad)
        self.known, self.address = self.state(), tensor.data_ptr()


class Slots:
    """All of them, by number."""

    def __init__(self) -> None:
        self.known: dict[int, Slot] = {}
        self.numbers: dict[int, int] = {}  # by the tensor's identity

    def __getitem__(self, number: int) -> Slot:
        return self.known[number]

    def add(self, number: int, slot: Slot) -> None:
        self.known[number] = slot
        self.numbers[id(slot.now())] = number

    def number(self, tensor: Tensor) -> int | None:
        """Its number, if both sides hold it."""
        number = self.numbers.get(id(tensor))
        return number if number in self.known and self.known[number].now() is tensor else None

    def learning(self) -> list[Tensor]:
        """Those that a result may depend on."""
        return [t for s in self.known.values() if (t := s.now()).requires_grad and t.is_leaf]

    def changes(self, writer: Writer) -> list[Any]:
        """What the other side does not know yet."""
        found = ((number, slot.changes(writer)) for number, slot in self.known.items())
        return [[number, node] for number, node in found if node is not None]

    def take(self, reader: Reader, nodes: list[Any], accepts: Callable[[Slot], bool]) -> None:
        """Put in what the other side has changed; what is not accepted goes back to it as it is here."""
        for number, node in nodes:
            slot = self.known[number]
            if accepts(slot):
                slot.take(reader, node)
            else:
                slot.known = None

    def clear(self) -> None:
        self.known.clear()
        self.numbers.clear()
