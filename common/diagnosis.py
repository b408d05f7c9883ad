"""Diagnosis by matching: which known mistake gives exactly what the learner's code gave?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import combinations

from torch import Tensor

from common import mistakes
from common.catalogue import Problem
from common.checks import Check
from common.mistakes import Mistake
from common.results import Diagnosis, Outcome, Status
from common.testing import trace

BUDGET = 1.0  # seconds, most of it rarely used; a learner waits for this


def diagnose(
    problem: Problem,
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
    *,
    budget: float = BUDGET,
) -> Diagnosis | None:
    """Find the mistakes that explain the failing checks.

    A mistake explains a check if it fails there with the same values, or the same error. One that
    explains all failing checks, and passes all others, is certain. One that explains the first and
    most of the others is likely. Else two mistakes at once may explain them all.

    Args:
        checks, outcomes: of the whole problem, in the same order.
    """
    deadline = time.monotonic() + budget
    wrong = [
        (check, outcome)
        for check, outcome in zip(checks, outcomes, strict=True)
        if outcome.status in (Status.FAILED, Status.ERROR)
    ]
    if not wrong:
        return None
    singles = [(m,) for m in mistakes.known(problem)]
    first, first_outcome = wrong[0]
    fitting = []
    for candidate in singles:
        if time.monotonic() > deadline:
            break  # what fits so far still fits
        if _explains(problem, candidate, first, first_outcome):
            fitting.append(candidate)
    shares = {}
    for candidate in fitting:
        shares[candidate] = sum(_explains(problem, candidate, *pair) for pair in wrong) / len(wrong)
        if time.monotonic() > deadline:
            break
    exact = [
        c for c, share in shares.items() if share == 1 and _passes_as(problem, c, checks, outcomes)
    ]
    if exact:
        return _diagnosis(exact, first, exact=True)
    partial: Diagnosis | None = None
    best = max(shares, key=lambda c: shares[c], default=None)
    if best and shares[best] > 0.5 and _telling(first_outcome):
        partial = _diagnosis([best], first, exact=False)
    if not fitting and not _telling(first_outcome):
        return None
    deadline = min(deadline, time.monotonic() + 0.5 * budget)
    halves = sorted(fitting, key=lambda c: -shares.get(c, 0))
    for pair in _pairs(problem, singles, wrong, halves):
        if time.monotonic() > deadline:
            break
        explains = all(_explains(problem, pair, *each) for each in wrong)
        if explains and _passes_as(problem, pair, checks, outcomes):
            return _diagnosis([pair], first, exact=True)
    return partial


def _pairs(
    problem: Problem,
    singles: Sequence[tuple[Mistake, ...]],
    wrong: Sequence[tuple[Check, Outcome]],
    halves: Sequence[tuple[Mistake, ...]],
) -> Iterator[tuple[Mistake, ...]]:
    """Two mistakes at a time, the likely ones first: those of which one explains some failing check."""
    first, rest = wrong[0][0], {check.function: (check, outcome) for check, outcome in wrong[1:]}
    halves = halves or [
        one for one in singles if any(_explains(problem, one, *pair) for pair in rest.values())
    ]
    yield from (half + other for half in halves for other in singles if other != half)
    # A mistake that changes nothing of what the first check sees cannot be half of the answer: the
    # other half would have matched it alone.
    right = _outcome(problem, (), first)
    felt = [m for m in singles if not trace.alike(_outcome(problem, m, first).seen, right.seen)]
    yield from (one + other for one, other in combinations(felt, 2))


def _explains(problem: Problem, made: tuple[Mistake, ...], check: Check, outcome: Outcome) -> bool:
    theirs = _outcome(problem, made, check)
    return (
        theirs.status == outcome.status
        and theirs.error == outcome.error
        and trace.alike(theirs.seen, outcome.seen)
    )


# What single mistakes give on a check, for as long as the process lives: a forked child has it too.
_known: dict[tuple[Check, tuple[Mistake, ...]], Outcome] = {}


def prepare(problem: Problem, checks: Sequence[Check]) -> Iterator[None]:
    """Run every known mistake through every check ahead of need, one run a step."""
    for check in checks:
        for mistake in mistakes.known(problem):
            _outcome(problem, (mistake,), check)
            yield


def _outcome(problem: Problem, made: tuple[Mistake, ...], check: Check) -> Outcome:
    """The check on the reference with these mistakes in it; "not written" where they exclude each other."""
    if (check, made) not in _known:
        module = mistakes.made(problem, *made)
        outcome = check.run(module) if module else Outcome(check.name, Status.TODO)
        if len(made) > 1:
            return outcome  # there are too many pairs to keep
        _known[check, made] = outcome
    return _known[check, made]


def _passes_as(
    problem: Problem,
    candidate: tuple[Mistake, ...],
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
) -> bool:
    """Whether the candidate also passes what the learner's code passes."""
    return all(
        _outcome(problem, candidate, check).status == Status.PASSED
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
