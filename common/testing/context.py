"""What a check works with: where tensors live, what random numbers start from, and what it has seen."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Generator
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """One value that a check looked at, by the name it has in messages.

    Args:
        atol: how far from the right value it may be.
    """

    what: str
    value: Any
    atol: float = 0.0


@dataclass(frozen=True)
class Context:
    """The surroundings of a check.

    Args:
        device: where inputs and modules live.
        seed: the learner's random numbers start from it; another one than 0 also changes all inputs.
        seen: each value that was compared, in order.
        axes: what sizes are called in this check, "T": 7; earlier_axes: what else a letter has stood for.
        anew: what checks share, such as a training run, is made again, under the eyes of whoever asks.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    seen: list[Seen] = field(default_factory=list, compare=False)
    axes: dict[str, int] = field(default_factory=dict, compare=False)
    earlier_axes: dict[str, set[int]] = field(default_factory=dict, compare=False)
    anew: bool = False

    def generator(self, name: str, shape: tuple[int, ...]) -> torch.Generator:
        """Random numbers for an input; they follow from its name and shape, and from the seed."""
        salt = f"{self.seed} " if self.seed else ""
        return torch.Generator().manual_seed(zlib.crc32(f"{salt}{name}{shape}".encode()))


_USUAL = Context()
_current: ContextVar[Context | None] = ContextVar("context", default=None)


def current() -> Context:
    """The surroundings that the code in this moment runs in."""
    return _current.get() or _USUAL


def in_a_check() -> bool:
    """Whether a check runs; while test files are read there are only the usual surroundings, for all of them."""
    return _current.get() is not None


@contextlib.contextmanager
def surroundings(**changes: Any) -> Generator[Context]:
    """Run the block in other surroundings; what is not named stays. Nothing is seen or named in them yet."""
    fresh = {"seen": [], "axes": {}, "earlier_axes": {}}
    token = _current.set(replace(current(), **fresh, **changes))
    try:
        yield current()
    finally:
        _current.reset(token)


def observe(what: str, value: Any, *, atol: float = 0.0) -> None:
    """Note a value of the learner's. Tensors are copied, so that later changes do not reach it."""
    if isinstance(value, Tensor):
        value = value.detach().clone()
    current().seen.append(Seen(what, value, atol))
