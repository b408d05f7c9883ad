"""What the history says is weak: missed, slow, with hints, forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from common.course.catalogue import Problem, find
from common.errors import UnknownProblem
from common.hunting.composing import LEVELS
from common.learner.attempts import Attempt
from common.review.deck import Deck
from common.review.memory import Grade, day_of

UNTRIED = 0.8  # beside 0 for what holds, and up to 1 for what failed
_SLOW = 0.2  # as much as two of ten points
_HINT = 0.1


@dataclass(frozen=True)
class Weak:
    """How weak something is, from 0 (it holds) to 1, and by what one knows."""

    amount: float
    why: str


def command_of(attempt: Attempt) -> str:
    """The command that begins another attempt of its kind: "interview 3", "hunt 05", "hunt --level 2"."""
    if attempt.level > 1:
        return f"hunt --level {attempt.level}"
    problem = find(attempt.problem)
    if attempt.level:
        return f"hunt {problem.key}"
    return command_for(problem) if problem.is_interview else "hunt --next"


def command_for(interview: Problem) -> str:
    """The command that begins an interview."""
    return f"interview {int(interview.key[-2:])}"


def shown_by(past: Iterable[Attempt]) -> dict[str, Weak]:
    """By command, what the last attempt that is over says of it."""
    last = {command_of(a): a for a in sorted(past, key=lambda a: a.begun) if not a.runs}
    return {command: of_attempt(attempt) for command, attempt in last.items()}


def of_attempt(attempt: Attempt) -> Weak:
    """What one attempt says."""
    usual = LEVELS[attempt.level].minutes if attempt.level else find(attempt.problem).readme.minutes
    amount, said = 1 - attempt.share, []
    if not attempt.whole:
        said.append(f"{attempt.score} last time")
    if usual and (attempt.used or 0) > usual:
        amount += _SLOW
        said.append(f"it took {attempt.used:.0f} minutes of {usual}")
    if attempt.hints:
        amount += _HINT * attempt.hints
        said.append(f"with {attempt.hints} hint{'s' * (attempt.hints > 1)}")
    return Weak(min(amount, 1.0), ", ".join(said) or f"{attempt.score} last time")


def lapsed(deck: Deck) -> dict[str, Weak]:
    """By the problem's name, cards that were known and whose last grade says they are forgotten."""
    grades: dict[str, list[tuple[float, int]]] = {}
    for review in deck.log:
        grades.setdefault(review.card, []).append((review.at, review.grade))
    found = {}
    for card, given in sorted(grades.items()):
        at, last = max(given)
        name = card.split("/")[0]
        if last == Grade.AGAIN and _exists(name):
            found[name] = Weak(0.5, f"a review card was forgotten on {_date(at)}")
    return found


def _exists(name: str) -> bool:
    try:
        return find(name).name == name
    except UnknownProblem:
        return False


def _date(at: float) -> str:
    day = date.fromordinal(day_of(at))
    return f"{day.day} {day:%b}"
