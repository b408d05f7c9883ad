"""gpt2 review: what was solved comes back, a quarter of an hour a day."""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import date

from common.cli.screen import require_terminal
from common.review import deck, memory
from common.review.cards import Card, cards
from common.review.deck import Deck
from common.review.portion import amount, coming, portion
from common.shell import gpt2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--list", action="store_true", help="show what is due and what the next week brings"
    )


def run(args: argparse.Namespace) -> int:
    """Go through the day's portion, or list it."""
    known, kept, today = cards(), deck.read(), memory.day_of(time.time())
    due = portion(known, kept, today)
    if args.list:
        print("\n".join(_listed(known, kept, today)))
        return 0
    if not due:
        print(_nothing(known, kept, today))
        return 0
    require_terminal(f"`{gpt2('review --list')}` does not")
    memory.require()
    from common.cli.review_dialogue import Dialogue

    dialogue = Dialogue(due)
    print(f"Due for review: {amount(due)}. Ctrl-C leaves; what is graded is kept.")
    try:
        asyncio.run(dialogue.run())
    except (KeyboardInterrupt, EOFError):
        print(f"\n{dialogue.done} of {len(due)} graded; the rest waits: {gpt2('review')}")
        return 130
    after = _nothing(cards(), deck.read(), today)
    print(f"\n{dialogue.done} of {len(due)} graded. {after}")
    return 0


def _listed(known: list[Card], kept: Deck, today: int) -> list[str]:
    due = portion(known, kept, today)
    lines = [_nothing(known, kept, today)]
    if due:
        lines = [f"Due for review: {amount(due)}: {gpt2('review')}"]
        lines += [f"  {card.title} ({card.minutes} min)" for card in due]
    week = [*enumerate(coming(known, kept, today), today + 1)]
    if any(of for _, of in week):
        lines += ["", "In the next week:"]
        lines += [f"  {_day(day):<10} {amount(of)}" for day, of in week if of]
    return lines


def _nothing(known: list[Card], kept: Deck, today: int) -> str:
    """When the next card comes, to whoever has none now."""
    if portion(known, kept, today):
        return f"What was skipped waits: {gpt2('review')}"
    if not known:
        return "There is nothing to review: cards come from the problems that pass, a day after."
    week = [*enumerate(coming(known, kept, today), 1)]
    days = next((number for number, of in week if of), None)
    if days is None:
        return "Nothing is due today, nor in the next week."
    when = "tomorrow" if days == 1 else f"in {days} days"
    return f"Nothing more is due today. Next: {amount(week[days - 1][1])}, {when}."


def _day(day: int) -> str:
    return f"{date.fromordinal(day):%a %d %b}"
