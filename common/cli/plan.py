"""gpt2 interview --plan: what to do on which day until the interview, and what of it is done."""

from __future__ import annotations

import shutil
import textwrap
import time
from datetime import date

from common.errors import UsageError
from common.learner.plans import Item, Plan
from common.practice import plan as planning
from common.review.memory import day_of
from common.shell import gpt2


def run_plan(text: str, a_day: int | None) -> int:
    """Make a plan, or show the one that is there.

    Args:
        text: until when, "2w"; empty to show it again. a_day: minutes.
    """
    now = time.time()
    if text:
        day = planning.until(text, day_of(now))
        plan = planning.make(day, planning.MINUTES if a_day is None else a_day, now)
    elif a_day is not None:
        raise UsageError(
            f"--a-day goes with a new plan: {gpt2(f'interview --plan 2w --a-day {a_day}')}"
        )
    else:
        plan = planning.current(now)
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    print("\n".join(_lines(plan, day_of(now), width) if plan else _none()))
    return 0


def _none() -> list[str]:
    return [f"There is no plan yet: {gpt2('interview --plan 2w')} makes one (10d, 3w, 2026-12-06)."]


def _lines(plan: Plan, today: int, width: int) -> list[str]:
    lines = [*_wrapped(_head(plan, today), width), ""]
    for day, items in sorted(plan.days.items()):
        name = ("Today, " if day == today else "") + _day(day)
        if day < today:
            done = sum(item.done for item in items)
            what = f"{done} of {len(items)} done" if items else "rest"
            lines.append(f"  {name}: {what}")
            lines += (
                [line for i in items for line in _item(i, width, "-")] if done < len(items) else []
            )
            continue
        minutes = sum(item.minutes for item in items)
        what = f"{minutes} min" if items else "rest"
        lines.append(f"{'>' if day == today else ' '} {name}: {what}")
        lines += [line for item in items for line in _item(item, width)]
    lines += [f"  {_day(plan.until)}: the interview", ""]
    if plan.left_out:
        lines += [*_wrapped(f"No day is left for: {', '.join(plan.left_out)}.", width), ""]
    return [*lines, *_wrapped(_next(plan, today), width)]


def _head(plan: Plan, today: int) -> str:
    left = plan.until - today
    # What was missed on a day before has moved, and counts where it is now.
    items = [i for day, of in plan.days.items() for i in of if i.done or day >= plan.laid]
    done = sum(item.done for item in items)
    if left < 0:
        return f"The plan ended on {_day(plan.until)}; {done} of {len(items)} were done."
    days = (
        "Today is the interview"
        if left == 0
        else f"{left} day{'s' * (left > 1)} until {_day(plan.until)}"
    )
    return f"{days}, at most {plan.a_day} minutes a day. {done} of {len(items)} done."


def _item(item: Item, width: int, open_: str = " ") -> list[str]:
    """What, minutes, why; a second line where one is too short."""
    lead = f"    [{'x' if item.done else open_}] {item.minutes:>2} min  "
    text = f"{item.title}: {item.why}"
    return textwrap.wrap(text, width, initial_indent=lead, subsequent_indent=" " * len(lead))


def _next(plan: Plan, today: int) -> str:
    if today >= plan.until:
        return f"Another one: {gpt2('interview --plan 2w')}"
    open_ = [item for item in plan.days.get(today, ()) if not item.done]
    if open_:
        return f"Next: {gpt2(open_[0].command)}"
    later = [item for day, items in sorted(plan.days.items()) if day > today for item in items]
    done = "Nothing is left for today." if plan.days.get(today) else "Today is for rest."
    ahead = next((item for item in later if not item.done), None)
    return f"{done} If you cannot wait: {gpt2(ahead.command)}" if ahead else done


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_on_hyphens=False)


def _day(day: int) -> str:
    of = date.fromordinal(day)
    return f"{of:%a} {of.day} {of:%b}"
