"""What both sides hold, each thing by a number: even ones are the judge's, odd ones the agent's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import trees
from .slots import Slot, Slots
from .standins import Remote, RemoteClass, RemoteModule


class Shared:
    """Objects, tensors and modules of both sides.

    Args:
        first: 0 or 1, where this side's numbers begin.
    """

    def __init__(self, first: int) -> None:
        self.first = self.next = first
        self.objects: dict[int, Any] = {}  # both sides' objects, or what stands for them
        self.numbers: dict[int, int] = {}  # of this side's, by identity
        self.lasting: set[int] = set()  # what outlives a check: functions and classes
        self.slots = Slots()
        self.modes: dict[int, bool] = {}  # of modules: training, as the other side knows it

    def add(self, thing: Any, *, lasting: bool = False) -> int:
        """Give an object of this side a number."""
        self.next += 2
        self.objects[self.next], self.numbers[id(thing)] = thing, self.next
        if lasting:
            self.lasting.add(self.next)
        return self.next

    def number(self, thing: Any) -> int | None:
        """The number of an object, whichever side it is of."""
        if isinstance(thing, Remote | RemoteClass):
            return thing.__dict__.get("_number")
        number = self.numbers.get(id(thing))
        return number if number is not None and self.objects.get(number) is thing else None

    def named(self, number: Any) -> Any:
        """The object of this number."""
        if number not in self.objects:
            raise ValueError(f"no object has the number {number!r}")
        return self.objects[number]

    def is_mine(self, number: int) -> bool:
        return number % 2 == self.first

    def blank(self, kind: type[nn.Module], number: int) -> nn.Module:
        """A new module that stands for one of the other side."""
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)) or self.is_mine(number):
            raise ValueError("no class of modules")
        module = trees.blank(kind)
        if isinstance(module, RemoteModule):
            module.__dict__["_number"] = number
        self.objects[number], self.numbers[id(module)] = module, number
        return module

    def slot(
        self, tensor: Tensor, place: tuple[nn.Module, str] | None = None, *, loose: bool = False
    ) -> int:
        """The number of a tensor that both sides hold from now on."""
        number = self.slots.number(tensor)
        if number is None:
            self.next += 2
            number = self.next
            self.slots.add(number, Slot(tensor, place, loose=loose))
        return number

    def parameter(self, number: int) -> nn.Parameter:
        """The parameter of this number; its numbers come at the message's end."""
        if number not in self.slots.known:
            self._theirs(number, Slot(nn.Parameter(torch.empty(0), requires_grad=False)))
        tensor = self.slots[number].tensor
        if not isinstance(tensor, nn.Parameter):
            raise ValueError("a parameter that is none")
        return tensor

    def buffer(self, number: int, module: nn.Module, name: str) -> None:
        if number in self.slots.known:
            module._buffers[name] = self.slots[number].now()
        else:
            module._buffers[name] = torch.empty(0)
            self._theirs(number, Slot(torch.empty(0), (module, name)))

    def _theirs(self, number: Any, slot: Slot) -> None:
        if type(number) is not int or self.is_mine(number):
            raise ValueError(f"{number!r} is no number of a tensor")
        self.slots.add(number, slot)

    def fresh(self) -> None:
        """Forget what one check had to do with."""
        self.objects = {n: thing for n, thing in self.objects.items() if n in self.lasting}
        self.numbers = {id(thing): n for n, thing in self.objects.items()}
        self.slots.clear()
        self.modes.clear()
