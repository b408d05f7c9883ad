"""How well a card is remembered, by FSRS. Time is counted in days: numbers that need no clock."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import IntEnum

from common.errors import CourseError

_LONGEST = 365  # days


class Grade(IntEnum):
    AGAIN = 1
    HARD = 2
    GOOD = 3


@dataclass(frozen=True)
class Memory:
    """What FSRS knows of a card.

    Args:
        due, last: the days of the next review and of the last one, counted as `day_of` does.
        stability: days until it is remembered nine times in ten. difficulty: 1 to 10.
        reviews: how often it was graded.
    """

    due: int
    last: int
    stability: float
    difficulty: float
    reviews: int


def day_of(at: float) -> int:
    """The day of a moment, where the learner is; one more each midnight.

    Args:
        at: seconds since the epoch.
    """
    return date.fromtimestamp(at).toordinal()


def require() -> None:
    """Raise CourseError where FSRS is not installed. Does not import it."""
    if not importlib.util.find_spec("fsrs"):
        raise CourseError("reviews need the package fsrs, which the default install brings")


def graded(memory: Memory | None, grade: Grade, day: int) -> Memory:
    """The memory of a card after a grade; None is a card that was never graded."""
    from fsrs import Card, Rating, Scheduler, State

    # No steps of minutes: a card comes at most once a day.
    scheduler = Scheduler(learning_steps=(), relearning_steps=(), maximum_interval=_LONGEST)
    card = Card(card_id=0)
    if memory:
        card = Card(
            card_id=0,
            state=State.Review,
            stability=memory.stability,
            difficulty=memory.difficulty,
            last_review=_noon(memory.last),
        )
    card, _ = scheduler.review_card(card, Rating(grade), _noon(day))
    assert card.stability is not None
    assert card.difficulty is not None
    return Memory(
        due=card.due.date().toordinal(),
        last=day,
        stability=round(card.stability, 4),
        difficulty=round(card.difficulty, 4),
        reviews=(memory.reviews if memory else 0) + 1,
    )


def _noon(day: int) -> datetime:
    return datetime.combine(date.fromordinal(day), time(12), UTC)
