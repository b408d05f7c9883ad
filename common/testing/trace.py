"""What a check saw: each value that it compared, in order. Diagnosis compares two such lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Seen:
    """One value that a check looked at, by the name it has in messages."""

    what: str
    value: Any


_seen: list[Seen] = []


def begin() -> list[Seen]:
    """Start a new list; `observe` adds to it from now on."""
    global _seen
    _seen = []
    return _seen


def observe(what: str, value: Any) -> None:
    """Note a value of the learner's. Tensors are copied, so that later changes do not reach it."""
    if isinstance(value, Tensor):
        value = value.detach().clone()
    _seen.append(Seen(what, value))


def alike(a: list[Seen], b: list[Seen]) -> bool:
    """Whether two runs of one check saw the same, up to rounding."""
    return len(a) == len(b) and all(
        x.what == y.what and _same(x.value, y.value) for x, y in zip(a, b, strict=True)
    )


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        if a.shape != b.shape or a.is_floating_point() != b.is_floating_point():
            return False
        if not a.is_floating_point():
            return torch.equal(a, b)
        # Two ways to write one formula round differently: about 1e-6 of the largest value in
        # float32. Two different mistakes are far further apart than a hundred times that.
        finite = a[a.isfinite()].abs()
        scale = float(finite.max()) if finite.numel() else 1.0
        return torch.allclose(
            a.double(), b.double(), rtol=1e-4, atol=1e-4 * max(scale, 1e-6), equal_nan=True
        )
    if isinstance(a, float) and isinstance(b, float):
        return a == b or abs(a - b) <= 1e-4 * max(abs(a), abs(b)) or (a != a and b != b)
    if isinstance(a, list | tuple) and type(a) is type(b):
        return len(a) == len(b) and all(map(_same, a, b))
    return type(a) is type(b) and bool(a == b)
