"""Whether a tensor is one that a right run has, however it is laid out or encoded."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import permutations

import torch
from torch import Tensor

_FEW = 4  # numbers that are multiples of others by accident
_HIDDEN = -1e8  # what counts as -inf in a masked score


class Match(Enum):
    KNOWN = "known"
    UNSURE = "unsure"  # another way to a right result may lead through it, and so may a wrong one
    MOVED = "moved"  # the right numbers in other places
    UNKNOWN = "unknown"

    @property
    def may_be_right(self) -> bool:
        return self in (Match.KNOWN, Match.UNSURE)


class KnownValues:
    """The tensors of a right run, and what other ways to the same result may lead through."""

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        plain = [_plain(tensor) for tensor in tensors]
        weights = [(w, axis) for w in plain for axis in range(w.ndim) if _sums_to_1(w, axis)]
        self.right, self.perhaps = _Table(), _Table()
        self.matched: dict[int, Match] = {}  # by the id of a tensor that somebody keeps
        for value in plain:
            self.right.add(value)
            along = {a for w, a in weights if w.shape == value.shape and _softens(value, a, w)}
            for axis in along:
                self.right.add(*_relatives(value, axis))
            if value.ndim and not along:  # masked later, or inside of a fused function
                self.perhaps.add(*_relatives(value, -1))

    def match(self, tensor: Tensor) -> Match:
        """How a tensor stands to those of the right run."""
        if id(tensor) not in self.matched:
            self.matched[id(tensor)] = self._match(_plain(tensor))
        return self.matched[id(tensor)]

    def times(self, tensor: Tensor) -> float:
        """How many times a tensor of the right run it is, in whatever layout; 0 where it is no multiple of one.

        Of several, such as scores before and after they are scaled, the nearest counts.
        """
        value = _plain(tensor)
        size = value.norm()
        found = []
        if (
            not size.isfinite()
            or value.numel() <= _FEW
            or bool((value == value.flatten()[0]).all())
        ):
            return 0.0
        for right in self.right.by_count.get(value.numel(), ()):
            for factor in (size / right.norm(), -size / right.norm()):
                if factor.isfinite() and _turned(value / factor, right):
                    found.append(float(factor))
        return min(found, key=lambda factor: abs(math.log(abs(factor))), default=0.0)

    def has_one_like(self, tensor: Tensor) -> bool:
        """Whether a right run has a tensor of that shape, other than a unit matrix, in whose place it could stand."""
        value = _plain(tensor)
        unit = value.ndim == 2 and torch.equal(value, torch.eye(*value.shape))
        return not unit and any(right.shape == value.shape for right in self.right.all)

    def _match(self, value: Tensor) -> Match:
        found = self.right.find(value)
        if not found.may_be_right and self.perhaps.find(value).may_be_right:
            return Match.UNSURE
        return found


class _Table:
    """Tensors, to look others up in."""

    def __init__(self) -> None:
        self.by_count: dict[int, list[Tensor]] = defaultdict(list)
        self.sorted: dict[int, tuple[Tensor, Tensor]] = {}  # those of a count, and what is near
        self.all: list[Tensor] = []
        self.by_shape: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        self.once: set[tuple[tuple[int, ...], bytes]] = set()

    def add(self, *tensors: Tensor) -> None:
        for each in tensors:
            key = tuple(each.shape), each.contiguous().numpy().tobytes()
            if key not in self.once:
                self.once.add(key)
                self.all.append(each)
                self.by_shape[tuple(each.shape)].append(each)
                self.by_count[each.numel()].append(each)

    def find(self, value: Tensor) -> Match:
        if value.numel() == 0:
            return Match.KNOWN
        same = self._same_numbers(value)
        alike = [r for r in same if sorted(r.shape) == sorted(value.shape)]
        turned = [r for r in alike if _turned(value, r)]
        if turned:
            # Of one shape and yet turned: a square table, as of scores where query and key were exchanged.
            kept = any(r.shape != value.shape or _close(value, r) for r in turned)
            return Match.KNOWN if kept else Match.UNSURE
        if alike:
            return Match.MOVED
        if any(_flattened(value, r) for r in same) or self._is_part(value) or self._is_mask(value):
            return Match.KNOWN
        square = value.ndim > 1 and value.size(-1) == value.size(-2)
        if square and self._is_part(value.mT):
            return Match.UNSURE  # the table of one head, turned likewise
        return Match.MOVED if same else Match.UNKNOWN

    def _same_numbers(self, value: Tensor) -> list[Tensor]:
        """The right tensors that hold the same numbers in any order."""
        count, ordered = value.numel(), value.flatten().sort().values
        if not (tensors := self.by_count.get(count)):
            return []
        if count not in self.sorted:
            near = torch.tensor([[_tolerance(t)] for t in tensors])
            self.sorted[count] = torch.stack([t.flatten() for t in tensors]).sort().values, near
        rows, near = self.sorted[count]
        same = (ordered - rows).abs() <= near + 1e-5 * rows.abs()
        same |= (ordered == rows) | (ordered.isnan() & rows.isnan())
        return [t for t, found in zip(tensors, same.all(1).tolist(), strict=True) if found]

    def _is_part(self, value: Tensor) -> bool:
        """Whether it is a piece of a right tensor along one axis."""
        flat = value.flatten()
        for shape, tensors in self.by_shape.items():
            for axis in _cut_axes(shape, tuple(value.shape)):
                cut = torch.stack(tensors).unflatten(
                    1 + axis, (tensors[0].numel() // flat.numel(), -1)
                )
                pieces = cut.movedim(1 + axis, 1).reshape(-1, flat.numel())
                near = torch.isclose(pieces, flat, rtol=1e-5, atol=_tolerance(flat), equal_nan=True)
                if bool(near.all(1).any()):
                    return True
        return False

    def _is_mask(self, value: Tensor) -> bool:
        """Whether it says the same as a right mask in other signs."""
        pattern = _pattern(value)
        if pattern is None:
            return False
        for right in self.all:
            other = _pattern(right)
            if other is None or other.numel() != pattern.numel():
                continue
            for turned in (pattern, ~pattern):
                if torch.equal(turned.flatten(), other.flatten()):
                    return True
        return False


def _cut_axes(right: tuple[int, ...], piece: tuple[int, ...]) -> list[int]:
    """The axes along which a tensor could be cut into pieces of this shape (the axis itself may be gone)."""
    found = []
    for axis, size in enumerate(right):
        rest = right[:axis] + right[axis + 1 :]
        if len(piece) == len(right):
            others = piece[:axis] + piece[axis + 1 :]
            if others == rest and size > piece[axis] > 0 == size % piece[axis]:
                found.append(axis)
        elif piece == rest and size > 1:
            found.append(axis)
    return found


def _plain(tensor: Tensor) -> Tensor:
    if tensor.dtype == torch.bool:  # a mask says the same however far it is expanded
        for axis in range(tensor.ndim):
            first = tensor.narrow(axis, 0, min(1, tensor.size(axis)))
            tensor = first if bool((tensor == first).all()) else tensor
    value = tensor.detach().to("cpu", torch.float32)
    return torch.where(value < _HIDDEN, -torch.inf, value)


def _relatives(value: Tensor, axis: int) -> Iterator[Tensor]:
    """What a softmax written by hand makes on its way along an axis."""
    if value.ndim <= 4 and 1 < value.size(axis) <= 64 and bool((value > -torch.inf).any()):
        peak = value.amax(axis, keepdim=True)
        if bool(peak.isfinite().all()):
            powers = (value - peak).exp()
            yield from (peak, value - peak, powers, powers.sum(axis, keepdim=True))
            yield value.logsumexp(axis, keepdim=True)


def _sums_to_1(value: Tensor, axis: int) -> bool:
    """Whether it could come out of a softmax; where all is hidden some give 0 or NaN."""
    value = value.nan_to_num()
    total = value.sum(axis)
    sums = ((total - 1).abs() < 1e-4) | (total == 0)
    return value.size(axis) > 1 and bool((value >= 0).all() and sums.all())


def _softens(value: Tensor, axis: int, weights: Tensor) -> bool:
    return _close(value.softmax(axis).nan_to_num(), weights.nan_to_num())


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-5, atol=_tolerance(b), equal_nan=True)


def _tolerance(b: Tensor) -> float:
    finite = b[b.isfinite()].abs()
    return 1e-5 * max(float(finite.max()) if finite.numel() else 1.0, 1e-6)


def _turned(value: Tensor, right: Tensor) -> bool:
    """Whether it is the right tensor with its axes in some order."""
    if right.ndim > 4:
        return value.shape == right.shape and _close(value, right)
    return any(
        turned.shape == value.shape and _close(value, turned)
        for turned in (right.permute(p) for p in permutations(range(right.ndim)))
    )


def _flattened(value: Tensor, right: Tensor) -> bool:
    """Whether it is the right tensor with its axes in some order, cut anew."""
    flat = value.flatten()
    if right.ndim > 4:
        return _close(flat, right.flatten())
    return any(_close(flat, right.permute(p).flatten()) for p in permutations(range(right.ndim)))


def _pattern(value: Tensor) -> Tensor | None:
    """Which of its two values stands where; None where there are not two."""
    if value.ndim < 2 or value.isnan().any():
        return None
    low, high = value.min(), value.max()
    top = value == high
    return top if bool((top | (value == low)).all()) else None
