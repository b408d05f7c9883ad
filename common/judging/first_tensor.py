"""The first tensor of a failing check that is not the reference's, around its first wrong entry."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from common.judging.excerpt import Excerpt, Slice
from common.judging.records import Outcome
from common.testing.asserts import mismatch
from common.testing.axes import letters, name_sizes
from common.testing.context import surroundings

MOST = 32  # rows and columns of an excerpt
_LARGEST = 1 << 22  # entries of a tensor that is still looked at
_TRAVEL = 1 << 12  # entries that travel with a verdict, besides the slice that a message names


def excerpt_of(outcome: Outcome, right: Outcome) -> Excerpt | None:
    """Compare what a check saw of the learner's code with what it sees of the reference's.

    Args:
        outcome: of a check that failed. right: the same check on the reference.

    Returns:
        None where no tensor tells: they have other shapes, a single value, or other things were looked at.
    """
    if outcome.inside:
        what, mine, theirs = outcome.inside
        if _compare(mine, theirs) and (place := mismatch(mine, theirs)) is not None:
            return _named(outcome, what, mine, theirs, place)
    for seen, known in zip(outcome.seen, right.seen, strict=False):
        if seen.what != known.what:
            return None
        mine, theirs = seen.value, known.value
        if not (isinstance(mine, Tensor) and isinstance(theirs, Tensor)):
            if isinstance(mine, tuple) and str(mine) != str(theirs):  # a shape, as a rule
                return None
            continue
        if not _compare(mine, theirs):
            return None
        if (place := mismatch(mine, theirs)) is not None:
            return _named(outcome, seen.what, mine, theirs, place)
    return None


def _compare(mine: Tensor, theirs: Tensor) -> bool:
    """Whether two tensors can be laid beside each other."""
    return mine.shape == theirs.shape and mine.numel() <= _LARGEST and not mine.is_complex()


def _named(
    outcome: Outcome, what: str, mine: Tensor, theirs: Tensor, place: tuple[int, ...]
) -> Excerpt | None:
    """With the letters that the check's sizes have."""
    if mine.numel() < 2:
        return None
    with surroundings():
        name_sizes(**outcome.sizes)
        return _around(what, mine.detach(), theirs.detach(), place)


def _around(what: str, mine: Tensor, theirs: Tensor, place: tuple[int, ...]) -> Excerpt:
    shape = tuple(mine.shape)
    if mine.ndim == 1:
        mine, theirs, place = mine[None], theirs[None], (0, *place)
    names = [_letter(size) for size in mine.shape]
    if mine.dtype == torch.bool and mine.shape[-1] == mine.shape[-2]:
        names[-2:] = ["T", "T"]  # who sees whom, however many there are
    lead, (row, column) = place[:-2], place[-2:]
    tall, wide = mine.shape[-2:]
    top, left = _start(row, tall), _start(column, wide)

    def part(lead: tuple[int, ...]) -> Slice:
        window = (*lead, slice(top, top + MOST), slice(left, left + MOST))
        found = mismatch(mine[window], theirs[window])
        mark = (found[0], found[1]) if found else None
        at = tuple(zip(names[:-2], lead, strict=True))
        return Slice(at, mark, _numbers(theirs[window]), _numbers(mine[window]))

    others = [i for i in itertools.product(*map(range, mine.shape[:-2])) if i != lead]
    if len(others) * min(tall, MOST) * min(wide, MOST) > _TRAVEL:
        others = []
    return Excerpt(
        what.strip(" ,:"),
        shape,
        (names[-2] if len(shape) > 1 else "", names[-1]),
        (top, left),
        tuple(map(part, [lead, *others])),
        mine.dtype == torch.bool,
    )


def _letter(size: int) -> str:
    found = letters(size)
    return found[0] if len(found) == 1 else ""


def _start(place: int, size: int) -> int:
    return max(0, min(place - MOST // 2, size - MOST))


def _numbers(values: Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(f"{v:.6g}") for v in row) for row in values.double().tolist())
