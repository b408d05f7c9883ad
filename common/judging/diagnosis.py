"""Diagnosis by matching: which known mistake gives exactly what the learner's code gave?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations
from types import ModuleType

from common.course import mistakes
from common.course.catalogue import Problem
from common.course.mistakes import DoesNotApply, Mistake
from common.errors import CourseError
from common.files import content
from common.judging import loading
from common.judging.causes import Certainty, Diagnosis
from common.judging.checks import Check
from common.judging.evidence import ENOUGH, alike, strength
from common.judging.limited import limited
from common.judging.records import Outcome, Status
from common.testing.context import current

# Seconds of computing, not of waiting, so that what is said does not hang on what else the machine does.
BUDGET = 1.0  # for two mistakes at once: there are hundreds of pairs, and a learner waits
# For single mistakes, which take some tenths of a second. They are all tried or nothing is said: one that was
# left out could explain as much.
PATIENCE = 20.0
_LONGEST = 30.0  # seconds on the clock, for the pairs
Made = tuple[Mistake, ...]
Pair = tuple[Check, Outcome]


def diagnose(
    problem: Problem,
    checks: Sequence[Check],
    outcomes: Sequence[Outcome],
    *,
    budget: float = BUDGET,
) -> Diagnosis | None:
    """Find the mistakes that explain the failing checks.

    A mistake explains a check if it fails there with the same values, or the same error. One that explains
    all failing checks, and passes all others, is the cause, if the values are telling enough; if several
    do, it is one of them. Else two mistakes at once may explain them all, or one most of them.

    Args:
        checks, outcomes: of the whole problem, in the same order.
        budget: seconds for the search for two at once.
    """
    start = time.process_time()
    pairs = [*zip(checks, outcomes, strict=True)]
    wrong = [pair for pair in pairs if pair[1].status.is_wrong]
    if not wrong:
        return None
    bank = Bank(problem)
    passed = [check for check, outcome in pairs if outcome.status == Status.PASSED]
    shares: dict[Made, list[Pair]] = {}
    for candidate in bank.singles:
        if time.process_time() > start + PATIENCE:
            return None
        if bank.explains(candidate, wrong[0]):
            shares[candidate] = [pair for pair in wrong if bank.explains(candidate, pair)]
    exact = [
        c for c, found in shares.items() if len(found) == len(wrong) and bank.passes(c, passed)
    ]
    if exact:
        if bank.telling(wrong) < ENOUGH:
            return None
        certainty = Certainty.CAUSE if len(exact) == 1 else Certainty.EITHER
        return _diagnosis(certainty, [m for (m,) in exact], wrong)
    halves = sorted(shares, key=lambda c: -len(shares[c]))
    # Of what is NaN nobody can tell which two mistakes made it.
    lost = sum("NaN" in " ".join(outcome.facts) for _, outcome in wrong)
    two = _two(bank, wrong, passed, halves, budget) if 2 * lost < len(wrong) else None
    # Each of the two has to show in numbers of its own, not in an error that both could give.
    if two and bank.telling(wrong) >= 2 * ENOUGH:
        return _diagnosis(Certainty.TOGETHER, two, wrong)
    best = next((half for half in halves if bank.passes(half, passed)), None)
    if best and 2 * len(shares[best]) > len(wrong) and bank.telling(shares[best]) >= 2 * ENOUGH:
        return _diagnosis(Certainty.LIKELY, best, shares[best])
    return None


def _two(
    bank: Bank,
    wrong: Sequence[Pair],
    passed: Sequence[Check],
    halves: Sequence[Made],
    budget: float,
) -> Made | None:
    """Two mistakes that explain all failing checks together, if they are found in time."""
    deadline = time.process_time() + budget
    # Two that end by themselves may loop without end together.
    with contextlib.suppress(TimeoutError), limited(_LONGEST):
        for two in bank.twos(wrong, halves, deadline):
            if time.process_time() > deadline:
                return None
            if all(bank.explains(two, pair) for pair in wrong) and bank.passes(two, passed):
                return two
    return None


def prepare(problem: Problem, checks: Sequence[Check]) -> Generator[None]:
    """Run every known mistake through every check ahead of need, one run a step."""
    bank = Bank(problem)
    for candidate in [(), *bank.singles]:
        for check in checks:
            bank.outcome(candidate, check)
            yield


def _diagnosis(
    certainty: Certainty, made: Sequence[Mistake], explained: Sequence[Pair]
) -> Diagnosis:
    names, says = tuple(m.name for m in made), tuple(m.says for m in made)
    return Diagnosis(certainty, names, says, explained[0][0].name, len(explained))


class Bank:
    """A problem's known mistakes, as they are now, and what each gives on a check."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.text = problem.reference_text
        self.singles: list[Made] = [(m,) for m in usable(problem)]
        around = current()
        self.known = _known.setdefault((self.text, around.device, around.seed), {})

    def outcome(self, made: Made, check: Check) -> Outcome:
        """The check on the reference with these mistakes in it; "not written" where they exclude each other."""
        if (check, made) not in self.known:
            module = module_with(self.problem, self.text, made)
            outcome = check.run(module) if module else Outcome(check.name, Status.TODO)
            if len(made) > 1:
                return outcome  # there are too many pairs to keep
            if made and outcome.status == Status.PASSED:
                right = self.outcome((), check).seen  # one copy for all that pass as it does
                outcome = replace(outcome, seen=right) if alike(outcome.seen, right) else outcome
            self.known[check, made] = outcome
        return self.known[check, made]

    def explains(self, made: Made, pair: Pair) -> bool:
        """Whether these mistakes give on a check what the learner's code gave."""
        check, outcome = pair
        theirs = self.outcome(made, check)
        return (
            theirs.status == outcome.status
            and theirs.error == outcome.error
            and alike(theirs.seen, outcome.seen)
        )

    def passes(self, made: Made, checks: Sequence[Check]) -> bool:
        """Whether they also pass what the learner's code passes."""
        return all(self.outcome(made, check).status == Status.PASSED for check in checks)

    def telling(self, pairs: Sequence[Pair]) -> float:
        """How much these outcomes say of what is wrong."""
        return strength((o.seen, o.error, self.outcome((), check).seen) for check, o in pairs)

    def twos(
        self, wrong: Sequence[Pair], halves: Sequence[Made], deadline: float
    ) -> Iterator[Made]:
        """Two mistakes at a time, the likely ones first: those of which one explains some failing check."""
        halves = halves or [
            one
            for one in self.singles
            if any(
                time.process_time() < deadline and self.explains(one, pair) for pair in wrong[1:]
            )
        ]
        yield from (half + other for half in halves for other in self.singles if other != half)
        # A mistake that changes nothing of what the first check sees cannot be half of the answer: the
        # other half would have matched it alone.
        first = wrong[0][0]
        right = self.outcome((), first)
        felt = [m for m in self.singles if not alike(self.outcome(m, first).seen, right.seen)]
        yield from (one + other for one, other in combinations(felt, 2))


# What single mistakes give on a check, for as long as the process lives: a forked child has it too.
_known: dict[tuple[object, ...], dict[tuple[Check, Made], Outcome]] = {}


def usable(problem: Problem) -> tuple[Mistake, ...]:
    """The known mistakes that apply to the reference and load; what is wrong with others is an author's business."""
    return _usable(problem, problem.reference_text, content(problem.mistakes))


@cache
def _usable(problem: Problem, text: str, _: bytes) -> tuple[Mistake, ...]:
    try:
        known = mistakes.known(problem)
    except CourseError:
        return ()
    return tuple(m for m in known if module_with(problem, text, (m,)))


def trouble_with(problem: Problem, mistake: Mistake) -> str:
    """Why a mistake cannot be used; empty when it can."""
    try:
        source = mistake.apply(problem.reference_text)
        loading.execute(source, problem.reference)
    except (CourseError, NotImplementedError) as error:
        return str(error) or type(error).__name__
    return ""


@cache
def module_with(problem: Problem, text: str, made: Made) -> ModuleType | None:
    """The reference's text with these mistakes made in it, executed; None where they exclude each other."""
    try:
        for mistake in made:
            text = mistake.apply(text)
        return loading.execute(text, problem.reference)
    except (DoesNotApply, loading.LoadFailure, NotImplementedError):
        return None
