"""What is remembered of the reviews: one small file beside the progress."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from common.files import write_atomically
from common.learner import progress, remembered
from common.review.memory import Grade, Memory, day_of, graded

FILE = progress.FOLDER / "review.json"
VERSION = 1
_DAYS = (1, date.max.toordinal() - 400)
_LIMITS = {
    "due": _DAYS, "last": _DAYS, "stability": (0.001, 1e6), "difficulty": (1, 10), "reviews": (1, 1e6),
    "at": (0, 1e11), "grade": (1, 3), "minutes": (0, 1e4), "seconds": (0, 1e9),
}  # fmt: skip


@dataclass(frozen=True)
class Review:
    """One grade.

    Args:
        at: seconds since the epoch. card: its id. minutes: the estimate. seconds: what it took.
    """

    at: float
    card: str
    grade: int
    minutes: int
    seconds: int


@dataclass(frozen=True)
class Deck:
    """Every card that was ever graded.

    Args:
        memories: by the card's id; those of problems that are gone or were reset wait here.
        log: all grades, in their order.
        begun: by the problem's name, the card whose file lies in reviews/ and is not graded yet.
    """

    memories: dict[str, Memory] = field(default_factory=dict)
    log: tuple[Review, ...] = ()
    begun: dict[str, str] = field(default_factory=dict)

    def on(self, day: int) -> list[Review]:
        """What was graded on that day."""
        return [review for review in self.log if day_of(review.at) == day]

    def to_data(self) -> dict[str, Any]:
        """The deck as JSON holds it."""
        return {
            "version": VERSION,
            "cards": {card: asdict(memory) for card, memory in sorted(self.memories.items())},
            "log": [asdict(review) for review in self.log],
            "begun": self.begun,
        }


def parsed(data: Any) -> Deck:
    """The deck from what JSON gives; ValueError, KeyError, TypeError or AttributeError where it is none."""
    if data["version"] != VERSION:
        raise ValueError(f"version {data['version']}")
    memories = {str(card): Memory(**fields) for card, fields in data["cards"].items()}
    log = tuple(Review(**fields) for fields in data["log"])
    for record in (*memories.values(), *log):
        for name, (least, most) in _LIMITS.items():
            value = getattr(record, name, least)
            if not (isinstance(value, int | float) and least <= value <= most):
                raise ValueError(f"{name} is {value!r}")
    if any("/" not in review.card for review in log):
        raise ValueError("a grade is of no card")
    return Deck(memories, log, {str(k): str(v) for k, v in data["begun"].items()})


def read() -> Deck:
    """The deck. A file that cannot be read is set aside, and that is said."""
    return remembered.read(FILE, parsed, "Review") or Deck()


def write(deck: Deck) -> None:
    """Put the deck on the disk, whole."""
    data = deck.to_data()
    log = ",\n ".join(json.dumps(review) for review in data.pop("log"))
    rest = json.dumps(data, indent=1)[1:]
    write_atomically(FILE, f'{{\n "log": [\n {log}\n ],{rest}\n')


def begin(problem: str, card: str) -> None:
    """Remember that this card's file lies in reviews/ now."""
    deck = read()
    write(replace(deck, begun={**deck.begun, problem: card}))


def grade(card: str, given: Grade, minutes: int, seconds: float, now: float) -> Memory:
    """Remember a grade, at once.

    Args:
        minutes: the card's estimate. seconds: what it took. now: since the epoch.
    """
    deck = read()
    memory = graded(deck.memories.get(card), given, day_of(now))
    review = Review(round(now, 1), card, int(given), minutes, round(seconds))
    begun = {problem: other for problem, other in deck.begun.items() if other != card}
    write(Deck({**deck.memories, card: memory}, (*deck.log, review), begun))
    return memory
