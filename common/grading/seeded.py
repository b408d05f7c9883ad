"""Checks with secret inputs: in each run of the grader every check has a seed that nobody can know before."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from torch import Tensor

from common.course.catalogue import Problem
from common.errors import CourseError
from common.judging.checks import Check
from common.judging.records import Outcome, Status
from common.testing.context import surroundings

_MOST = 20  # seeds that the reference may fail before the check counts as wrong


@dataclass(frozen=True, eq=False)
class SeededCheck(Check):
    """A check under a seed of its own.

    Args:
        undefined: what is NaN where the reference runs; elsewhere a NaN is no answer, though it may equal
            another. None says nothing of it.
    """

    seed: int = 0
    undefined: frozenset[str] | None = None

    def run(self, module: ModuleType, *, interactive: bool = False) -> Outcome:
        _forget(self.function)
        with surroundings(seed=self.seed):
            outcome = super().run(module, interactive=interactive)
        odd = set() if self.undefined is None else nans(outcome) - self.undefined
        if outcome.status == Status.PASSED and odd:
            return replace(
                outcome, status=Status.FAILED, facts=(f"NaN, which is no number: {min(odd)}",)
            )
        return outcome


def lucky(
    check: Check, problem: Problem, secret: str, reference: ModuleType
) -> Iterator[SeededCheck]:
    """The check under one seed after the other, those left out under which the reference itself fails.

    A check that measures chance, or reads a number back through a logarithm, has bad luck once in thousands of
    seeds, and no student shall pay for that.

    Raises:
        CourseError: the reference fails whatever the seed.
    """
    unlucky = 0
    for number in range(1 << 30):
        seed = _seed(f"{secret} {problem.name} {check.name} {number}")
        made = SeededCheck(check.name, check.function, check.arguments, seed)
        outcome = made.run(reference)
        if outcome.status == Status.PASSED:
            yield replace(made, undefined=nans(outcome))
        elif (unlucky := unlucky + 1) > _MOST:
            raise CourseError(
                f"the reference of {problem.name} fails {check.name}, whatever its inputs"
            )


def nans(outcome: Outcome) -> frozenset[str]:
    """The names of the values in which a check saw a NaN."""
    return frozenset(s.what for s in outcome.seen if _is_nan(s.value))


def _seed(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=7).digest()) + 1


def _is_nan(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.is_floating_point() and bool(value.isnan().any())
    return isinstance(value, float) and value != value


def _forget(function: Any) -> None:
    """Empty the caches of the check's own file: what they hold was drawn with another seed."""
    for value in function.__globals__.values():
        if (
            hasattr(value, "cache_clear")
            and getattr(value, "__module__", None) == function.__module__
        ):
            value.cache_clear()
