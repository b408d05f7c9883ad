"""Problems, hunts and reviews over the days until an interview: what is asked most and what is weak comes first."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from common.course.catalogue import Problem, problems
from common.errors import UsageError
from common.hunting.composing import LEVELS
from common.learner import attempts, plans
from common.learner.attempts import Attempt
from common.learner.plans import Item, Plan
from common.practice import weak
from common.practice.weak import Weak
from common.review import deck
from common.review.cards import cards
from common.review.memory import day_of
from common.review.portion import coming, portion
from common.shell import gpt2

MINUTES = 45  # a day
_LONGEST = 70  # days
_REST = 7  # each seventh day has nothing
_EVE = 20  # minutes on the day before: sleep is worth more
_MOST = 3  # things a day
_HUNT_AFTER = 2  # problems
_AGAIN = 2  # days that lie between two times of the same, at least


@dataclass(frozen=True)
class Target:
    """Something that could be planned.

    Args:
        need: what comes first, in a sense that only the order of two tells; 0 or less is not needed.
        again: why it is worth another time.
        after: the last day on which it was tried; it is not laid on that day again.
    """

    item: Item
    need: float
    again: str
    after: int = 0


def until(text: str, today: int) -> int:
    """The day of the interview from "10d", "2w" or "2026-12-06".

    Raises:
        UsageError: it is none of them, or too near, or too far.
    """
    if span := re.fullmatch(r"(\d{1,4})\s*([dw])", text.strip().lower()):
        day = today + int(span[1]) * (7 if span[2] == "w" else 1)
    else:
        try:
            day = date.fromisoformat(text.strip()).toordinal()
        except ValueError:
            raise UsageError(
                f"--plan takes days (10d), weeks (2w) or a date (2026-12-06), not {text!r}"
            ) from None
    if not today < day <= today + _LONGEST:
        far = f"{day - today} days away" if day > today else "not in the future"
        raise UsageError(f"a plan is for 1 to {_LONGEST} days, and {text} is {far}")
    return day


def make(day: int, a_day: int, now: float) -> Plan:
    """A new plan from today on, written in the place of an old one.

    Args:
        day: of the interview. a_day: minutes, at most. now: seconds since the epoch.

    Raises:
        UsageError: the longest problem does not fit into a day.
    """
    longest = max(p.readme.minutes for p in _interviews())
    if not longest <= a_day <= 240:
        raise UsageError(
            f"--a-day must be {longest} to 240 minutes, not {a_day}: the longest problem takes {longest}"
        )
    today = day_of(now)
    plan = _laid(Plan(now, today, day, a_day, today), today, _past(), ())
    plans.write(plan)
    return plan


def current(now: float) -> Plan | None:
    """The plan as it stands: what was done is ticked, and on a new day what was not done has moved."""
    plan = plans.read()
    if plan is None:
        return None
    past, today = _past(), day_of(now)
    fresh = _ticked(plan, past, min(today, plan.until - 1))
    if fresh.laid < today < fresh.until:
        fresh = _moved(fresh, today, past)
    if fresh != plan:
        plans.write(fresh)
    return fresh


def line(now: float) -> str:
    """Today's part in one line; empty where no plan is there, or where it is over."""
    plan, today = current(now), day_of(now)
    if plan is None or today > plan.until:
        return ""
    whole = gpt2("interview --plan")
    if today == plan.until:
        return f"Your interview is today. What you practised: {whole}"
    items = plan.days.get(today, ())
    if not items:
        return f"Today is a rest day of your plan: {whole}"
    open_ = [f"{item.command} ({item.minutes} min)" for item in items if not item.done]
    if not open_:
        return f"Today's part of your plan is done: {whole}"
    return f"Today: {', '.join(open_)}: {whole}"


def _past() -> list[Attempt]:
    return sorted([*attempts.history(), *attempts.hunts()], key=lambda attempt: attempt.begun)


def _ticked(plan: Plan, past: Sequence[Attempt], today: int) -> Plan:
    """With what was done since it was made ticked, the earliest of several first."""
    done = Counter(weak.command_of(a) for a in past if not a.runs and a.begun >= plan.made)
    done.subtract(item.command for item in plan.items if item.done)
    reviewed = deck.read()
    days = {}
    for day, items in sorted(plan.days.items()):
        ticked = []
        for item in items:
            now_done = item.done
            if item.command == "review":
                now_done = now_done or (day <= today and bool(reviewed.on(day)))
            elif not now_done and day >= plan.laid and done[item.command] > 0:
                done[item.command] -= 1
                now_done = True
            ticked.append(replace(item, done=now_done))
        days[day] = tuple(ticked)
    return replace(plan, days=days)


def _moved(plan: Plan, today: int, past: Sequence[Attempt]) -> Plan:
    """Laid out anew from today on: what was done ahead stands on the day before, what was not comes first."""
    days = {day: items for day, items in plan.days.items() if day < today}
    ahead = [i for day, items in plan.days.items() if day >= today for i in items if i.done]
    days[today - 1] = (*days.get(today - 1, ()), *ahead)
    late = {i.command: day for day, items in sorted(days.items()) for i in items if not i.done}
    for item in plan.items:
        if item.done:
            late.pop(item.command, None)
    late.pop("review", None)
    return _laid(replace(plan, days=days), today, past, [*late])


def _laid(plan: Plan, today: int, past: Sequence[Attempt], late: Sequence[str]) -> Plan:
    """What is left to do, over the days from today on; `late` are commands that should have been done before."""
    waiting = _in_order(_targets(past), late, plan.a_day)
    known, kept = cards(), deck.read()
    due = dict(enumerate(coming(known, kept, today, plan.until - today), today + 1))
    due[today] = portion(known, kept, today)
    days = {day: items for day, items in plan.days.items() if day < today}
    for day in range(today, plan.until):
        if (day - plan.first) % _REST == _REST - 1 and day < plan.until - 1:
            days[day] = ()
            continue
        room = min(plan.a_day, _EVE) if day == plan.until - 1 else plan.a_day
        minutes = sum(card.minutes for card in due.get(day, ()))
        days[day] = _a_day(waiting, day, room, minutes)
    titles = dict.fromkeys(t.item.title for t in waiting if t.need > 0)
    return replace(plan, days=days, laid=today, left_out=tuple(titles))


def _a_day(waiting: list[Target], day: int, room: int, reviews: int) -> tuple[Item, ...]:
    """What is taken from those that wait: the first that fits, then the reviews, then what still fits."""
    chosen: list[Item] = []
    while len(chosen) < _MOST:
        first = [t for t in waiting if t.need > 0] or waiting  # before anything comes once more
        fits = (t for t in first if t.item.minutes <= room and t.after < day)
        target = next(fits, None)
        if target is None:
            break
        waiting.remove(target)
        chosen.append(target.item)
        room -= target.item.minutes
        if target.need > 0:
            again = replace(target.item, why=target.again)
            waiting.append(replace(target, item=again, need=0.0, after=day + _AGAIN))
        if reviews and reviews <= room:
            chosen.append(Item("review", "Review", reviews, "cards are due"))
            room, reviews = room - reviews, 0
    return tuple(chosen)


def _in_order(targets: Iterable[Target], late: Sequence[str], a_day: int) -> list[Target]:
    """Late ones first, then by need, a hunt after every two problems; what holds comes last."""
    fits = [t for t in targets if t.item.minutes <= a_day]
    ranked = sorted(fits, key=lambda t: (t.item.command not in late, -t.need))
    moved = [_because(t, "moved from an earlier day; ") for t in ranked if t.item.command in late]
    rest = [t for t in ranked if t.item.command not in late]
    needed = _woven([t for t in rest if t.need > 0])
    return [*moved, *needed, *_woven([t for t in rest if t.need <= 0])]


def _woven(ranked: Sequence[Target]) -> list[Target]:
    hunts = [t for t in ranked if t.item.command.startswith("hunt")]
    others = [t for t in ranked if t not in hunts]
    woven: list[Target] = []
    while hunts or others:
        woven += others[:_HUNT_AFTER] + hunts[:1]
        others, hunts = others[_HUNT_AFTER:], hunts[1:]
    return woven


def _because(target: Target, lead: str) -> Target:
    return replace(target, item=replace(target.item, why=lead + target.item.why))


def _targets(past: Sequence[Attempt]) -> list[Target]:
    known, forgotten = weak.shown_by(past), weak.lapsed(deck.read())
    tried = {weak.command_of(a): day_of(a.begun) for a in past}
    found = []
    for rank, problem in enumerate(interviews := _interviews()):
        command = weak.command_for(problem)
        item = Item(command, problem.label, problem.readme.minutes, "")
        often = f"asked {_nth(rank + 1)}most often"
        seen = known.get(command) or forgotten.get(problem.name)
        weight = 1 - rank / (2 * len(interviews))
        found.append(_target(item, seen, weight, often, tried.get(command, 0)))
    for level, rules in LEVELS.items():
        if not rules.source:
            continue
        command = f"hunt --level {level}"
        item = Item(command, f"Hunt of level {level}", rules.minutes, "")
        found.append(
            _target(item, known.get(command), 1 / level, rules.says, tried.get(command, 0))
        )
    for problem in problems():
        command = f"hunt {problem.key}"
        seen = forgotten.get(problem.name) if not problem.is_interview else None
        seen = known.get(command) or seen
        if seen and seen.amount > 0:
            item = Item(command, f"Hunt in {problem.label}", LEVELS[1].minutes, "")
            found.append(_target(item, seen, 1.0, LEVELS[1].says, tried.get(command, 0)))
    return found


def _target(item: Item, seen: Weak | None, weight: float, often: str, after: int) -> Target:
    """Args: seen: what the history says; None where it was never tried. after: the day it was tried last."""
    amount = weak.UNTRIED if seen is None else seen.amount
    new = "with other bugs" if item.command.startswith("hunt") else "from memory"
    why = f"{'not tried yet' if seen is None else seen.why}; {often}"
    return Target(replace(item, why=why), weight * amount, f"once more, {new}; {often}", after)


def _interviews() -> list[Problem]:
    """In the order in which they are reported to be asked, which is that of the catalogue."""
    return [p for p in problems() if p.is_interview]


def _nth(number: int) -> str:
    """ "", "2nd ", "3rd "."""
    if number == 1:
        return ""
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if 10 <= number % 100 <= 20 else ending} "
