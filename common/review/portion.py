"""A day's portion of what is due: as long however long one was away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from common.review.cards import Card, Kind, cards
from common.review.deck import Deck, read
from common.review.memory import day_of
from common.shell import gpt2

MINUTES = 15
MOST = 8  # cards


def due(card: Card, deck: Deck) -> int:
    """The day on which a card is due."""
    memory = deck.memories.get(card.id)
    return memory.due if memory else card.first


def portion(known: Iterable[Card], deck: Deck, day: int) -> list[Card]:
    """What is to be done on that day, less what was done on it already.

    Kinds take turns, the most overdue of a kind first, and another card of the same problem only when nothing
    else is left. A problem has one file a day: two would show each other's answers.
    """
    today = deck.on(day)
    had = [(review.card.split("/")[0], review.card.split("/")[1]) for review in today]
    minutes = MINUTES - sum(review.minutes for review in today)
    waiting = [card for card in known if due(card, deck) <= day]
    chosen: list[Card] = []
    while len(today) + len(chosen) < MOST:
        kinds = Counter(kind for _, kind in had)
        met = {problem for problem, _ in had}
        files = {problem for problem, kind in had if kind != Kind.QUESTION}
        fits = [
            card
            for card in waiting
            if card.minutes <= minutes
            and (card.kind == Kind.QUESTION or card.problem.name not in files)
        ]
        if not fits:
            break
        card = min(fits, key=lambda c: (c.problem.name in met, kinds[c.kind], due(c, deck), c.id))
        waiting.remove(card)
        chosen.append(card)
        had.append((card.problem.name, card.kind))
        minutes -= card.minutes
    return chosen


def coming(known: Iterable[Card], deck: Deck, day: int, days: int = 7) -> Iterator[list[Card]]:
    """The portions of the days after that one, if each is done and every card is known."""
    left = [*known]
    for later in range(day, day + days + 1):
        taken = portion(left, deck, later)
        left = [card for card in left if card not in taken]
        if later > day:
            yield taken


def amount(of: list[Card]) -> str:
    """ "4 cards, about 12 minutes"."""
    minutes = sum(card.minutes for card in of)
    return f"{len(of)} card{'s' * (len(of) != 1)}, about {minutes} minute{'s' * (minutes != 1)}"


def line(now: float) -> str:
    """What is due today in one line; empty when nothing is.

    Args:
        now: seconds since the epoch.
    """
    known = cards()
    due_now = portion(known, read(), day_of(now)) if known else []
    return f"Due for review: {amount(due_now)}: {gpt2('review')}" if due_now else ""
