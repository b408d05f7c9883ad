"""What two runs of a check have in common, and how much that says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from common.testing.context import Seen

# So many different numbers, or as much else, have to agree before a cause is called one. Two unrelated ways
# to be wrong share a boolean, a shape or an error's text easily, and four numbers hardly ever.
ENOUGH = 4.0
_WORDS = 1.0  # what a name, a shape or an error is worth beside a number
_YES_OR_NO = 0.5
_CELL = 0.25  # one entry of a tensor of integers or bools


def alike(mine: Sequence[Seen], theirs: Sequence[Seen]) -> bool:
    """Whether two runs of one check saw the same, up to rounding."""
    return len(mine) == len(theirs) and all(
        a.what == b.what and same(a.value, b.value) for a, b in zip(mine, theirs, strict=True)
    )


def same(a: Any, b: Any) -> bool:
    """Whether two values agree. NaN agrees with NaN here; as evidence it counts for nothing."""
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
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)


def strength(runs: Iterable[tuple[Sequence[Seen], str, Sequence[Seen]]]) -> float:
    """How much is known of what is wrong: the different values that a right answer does not show.

    Args:
        runs: by check, what the learner's run saw, the error it ended in, and what the reference's run saw.
    """
    numbers: set[float] = set()
    words: set[tuple[str, str]] = set()
    rest = 0.0
    for mine, error, right in runs:
        if error:
            words.add(("error", error))
        expected = [[s.value for s in right if s.what == seen.what] for seen in mine]
        for seen, known in zip(mine, expected, strict=True):
            if any(same(seen.value, value) for value in known):
                continue
            for value in _parts(seen.value):
                if isinstance(value, Tensor) and value.is_floating_point():
                    numbers |= _different(value, known)
                elif isinstance(value, Tensor):
                    rest += _CELL * _cells(value, known)
                elif isinstance(value, float) and value == value and abs(value) != float("inf"):
                    numbers.add(float(f"{value:.4g}"))
                else:
                    words.add((seen.what, repr(value)))
    said = sum(_YES_OR_NO if text in ("True", "False", "None") else _WORDS for _, text in words)
    return len(numbers) + said + rest


def _parts(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple) and any(isinstance(v, Tensor | float) for v in value):
        for part in value:
            yield from _parts(part)
    else:
        yield value


def _different(value: Tensor, known: list[Any]) -> set[float]:
    """The finite numbers that stand where the right tensor has others."""
    keep = value.isfinite()
    for right in known:
        if isinstance(right, Tensor) and right.shape == value.shape:
            keep = keep & ~torch.isclose(value, right.to(value.dtype), rtol=1e-3, atol=1e-5)
    return {float(f"{v:.4g}") for v in value[keep].flatten()[:200].tolist()}


def _cells(value: Tensor, known: list[Any]) -> int:
    shaped = [k for k in known if isinstance(k, Tensor) and k.shape == value.shape]
    return int((value != shaped[0]).sum()) if shaped else 1
