"""What a solution costs beside the reference: time, and the memory of the tensors that are alive at once."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from common.judging.checks import Check
from common.judging.records import Cost, Outcome, Status, function_of

BUDGET = 2.5  # seconds for all of it
_TURNS = (3, 9)  # of each check, yours and the reference's in turn; the quickest of each counts
_LEAST = 3  # test functions
_NOISE = 0.004  # seconds: a sum below that says nothing
_SMALL = 1024  # bytes a check: tensors of a few numbers are no memory to speak of


def cost(
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
    module: ModuleType,
    reference: ModuleType,
    budget: float = BUDGET,
) -> Cost | None:
    """Time and memory of a solution on checks that it passes, as multiples of the reference's.

    A case of each test function is run, of as many as there is time for. What the checks themselves do counts on
    both sides, so the ratios are nearer to 1 than those of the solutions. None where fewer than half of the checks
    pass, or where there is too little to compare.
    """
    passed = [c for c, o in zip(checks, outcomes, strict=True) if o.status == Status.PASSED]
    if 2 * len(passed) < len(checks):
        return None
    end = time.perf_counter() + budget
    last_cases = [*{function_of(check.name): check for check in passed}.values()]
    chosen = _peaks(last_cases, module, reference, end - budget / 2)
    if len(chosen) < _LEAST:
        return None
    timed = _timed([*chosen], module, reference, end)
    mine, theirs = (sum(seconds) for seconds in zip(*timed, strict=True)) if timed else (0, 0)
    most, others = (sum(peaks) for peaks in zip(*chosen.values(), strict=True))
    return Cost(
        mine / theirs if min(mine, theirs) > _NOISE else None,
        most / others if min(most, others) > _SMALL * len(chosen) else None,
    )


def _peaks(
    checks: Sequence[Check], mine: ModuleType, reference: ModuleType, end: float
) -> dict[Check, tuple[int, int]]:
    """The highest peaks of each check on both: of those for which there was time."""
    found = {}
    for check in checks:
        if time.perf_counter() > end:
            break
        found[check] = (_peak(check, mine), _peak(check, reference))
    return found


def _timed(
    checks: Sequence[Check], mine: ModuleType, reference: ModuleType, end: float
) -> list[tuple[float, float]]:
    """The quickest of several turns of each check on both; nothing where there was no time for enough turns."""
    turns: list[list[tuple[float, float]]] = []
    longest = 0.0
    while len(turns) < _TURNS[1] and time.perf_counter() + longest < end:
        begun = time.perf_counter()
        if len(turns) % 2:  # the second of two finds the caches warm
            turn = [(_seconds(check, mine), _seconds(check, reference)) for check in checks]
        else:
            turn = [(_seconds(check, reference), _seconds(check, mine))[::-1] for check in checks]
        turns.append(turn)
        longest = max(longest, time.perf_counter() - begun)
    if len(turns) < _TURNS[0]:
        return []
    return [
        (min(one for one, _ in of), min(other for _, other in of))
        for of in zip(*turns, strict=True)
    ]


def _seconds(check: Check, module: ModuleType) -> float:
    begun = time.process_time()  # not what other programs took meanwhile
    check.run(module)
    return time.process_time() - begun


def _peak(check: Check, module: ModuleType) -> int:
    with _Alive() as alive:
        check.run(module)
    return alive.peak


class _Alive(TorchDispatchMode):
    """Counts the bytes of the storages that operations made and that are still there."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor)
        return out

    def _note(self, tensor: torch.Tensor) -> None:
        try:
            storage = tensor.untyped_storage()
        except NotImplementedError:  # a sparse tensor has none
            return
        key, size = storage._cdata, storage.nbytes()
        if key in self.known:
            return
        self.known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size).atexit = False

    def _gone(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size
