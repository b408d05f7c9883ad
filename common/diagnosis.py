"""Diagnosis by matching: which known mistake gives exactly what the learner's code gave?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import combinations

from torch import Tensor

from common import mistakes
from common.catalogue import Problem
from common.checks import Check
from common.mistakes import Mistake
from common.results import Diagnosis, Outcome, Status
from common.testing import trace

BUDGET = 0.3  # seconds; a learner waits for this


def diagnose(
    problem: Problem,
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
    *,
    budget: float = BUDGET,
) -> Diagnosis | None:
    """Find the mistakes that explain the failing checks.

    A mistake explains a check if it fails there with the same values, or the same error. One that
    explains all failing checks is certain; else one that explains the values of the first check
    that any explains; else two mistakes at once.

    Args:
        checks, outcomes: of the whole problem, in the same order.
    """
    deadline = time.monotonic() + budget
    wrong = [
        (check, outcome)
        for check, outcome in zip(checks, outcomes, strict=True)
        if outcome.status in (Status.FAILED, Status.ERROR)
    ]
    singles = [(m,) for m in mistakes.known(problem)]
    partial: Diagnosis | None = None
    for n, (check, outcome) in enumerate(wrong):
        fitting = []
        for candidate in singles:
            if time.monotonic() > deadline:
                return partial
            if _explains(problem, candidate, check, outcome):
                fitting.append(candidate)
        if not fitting:
            continue
        if n == 0:
            for other, other_outcome in wrong[1:]:
                rest = [c for c in fitting if _explains(problem, c, other, other_outcome)]
                if not rest or time.monotonic() > deadline:
                    break
                fitting = rest
            else:
                passing = [c for c in fitting if _passes_as(problem, c, checks, outcomes, fitting)]
                return _diagnosis(passing or fitting, check, exact=True)
        if partial is None and _telling(outcome):
            partial = _diagnosis(fitting, check, exact=False)
        if partial:
            break
    if not wrong or wrong[0][1].status != Status.FAILED or not _telling(wrong[0][1]):
        return partial
    if partial:
        half = next(m for m in singles if m[0].name == partial.names[0])
        pairs = [half + other for other in singles if other != half]
    else:
        # Had one of the two no effect on the first check, the other would have matched it alone.
        felt = [m for m in singles if _outcome(problem, m, wrong[0][0]).status != Status.PASSED]
        pairs = [first + second for first, second in combinations(felt, 2)]
    for pair in pairs:
        if time.monotonic() > deadline:
            break
        if all(_explains(problem, pair, check, outcome) for check, outcome in wrong):
            return _diagnosis([pair], wrong[0][0], exact=True)
    return partial


def _explains(problem: Problem, made: tuple[Mistake, ...], check: Check, outcome: Outcome) -> bool:
    theirs = _outcome(problem, made, check)
    return (
        theirs.status == outcome.status
        and theirs.error == outcome.error
        and trace.alike(theirs.seen, outcome.seen)
    )


def _outcome(problem: Problem, made: tuple[Mistake, ...], check: Check) -> Outcome:
    """The check on the reference with these mistakes in it; "not written" where they exclude each other."""
    module = mistakes.made(problem, *made)
    return check.run(module) if module else Outcome(check.name, Status.TODO)


def _passes_as(
    problem: Problem,
    candidate: tuple[Mistake, ...],
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
    rivals: Sequence[object],
) -> bool:
    """Whether the candidate also passes what the learner's code passes; asked only among rivals."""
    if len(rivals) == 1:
        return True
    module = mistakes.made(problem, *candidate)
    assert module
    return all(
        check.run(module).status == Status.PASSED
        for check, outcome in zip(checks, outcomes, strict=True)
        if outcome.status == Status.PASSED
    )


def _telling(outcome: Outcome) -> bool:
    """Whether a match on this check alone says much: numbers do, a yes or no does not."""
    return bool(outcome.error) or any(
        isinstance(s.value, Tensor) and s.value.numel() > 4 and s.value.is_floating_point()
        for s in outcome.seen
    )


def _diagnosis(fitting: Sequence[tuple[Mistake, ...]], check: Check, *, exact: bool) -> Diagnosis:
    chosen = fitting[0]
    return Diagnosis(
        names=tuple(m.name for m in chosen),
        says=tuple(m.says for m in chosen),
        check=check.name,
        exact=exact,
    )
