"""The plan until an interview: one small file beside the progress."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import Any

from common.files import write_atomically
from common.learner import progress, remembered

FILE = progress.FOLDER / "plan.json"
VERSION = 1
_LAST = date.max.toordinal()
_LIMITS = {
    "made": (0, 1e11),
    "first": (1, _LAST),
    "until": (1, _LAST),
    "laid": (1, _LAST),
    "a_day": (1, 1440),
}


@dataclass(frozen=True)
class Item:
    """Something to do on a day.

    Args:
        command: what does it, "interview 3" or "review". title: what a person calls it.
    """

    command: str
    title: str
    minutes: int
    why: str
    done: bool = False


@dataclass(frozen=True)
class Plan:
    """What is to be done on which day; days are counted as `date.toordinal` does.

    Args:
        made: seconds since the epoch. first: its first day. until: the day of the interview.
        a_day: minutes, at most. laid: the day on which what is left was laid out last.
        days: what is planned, a rest day has none; of days before `laid` what became of it.
        left_out: titles of what finds no place.
    """

    made: float
    first: int
    until: int
    a_day: int
    laid: int
    days: dict[int, tuple[Item, ...]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    @property
    def items(self) -> list[Item]:
        """All, in the order of the days."""
        return [item for _, items in sorted(self.days.items()) for item in items]

    def to_data(self) -> dict[str, Any]:
        """The plan as JSON holds it."""
        return {"version": VERSION, **asdict(self)}


def parsed(data: Any) -> Plan:
    """The plan from what JSON gives; ValueError, KeyError, TypeError or AttributeError where it is none."""
    fields = dict(data)
    if fields.pop("version") != VERSION:
        raise ValueError(f"version {data['version']}")
    days = {int(day): tuple(map(_item, items)) for day, items in fields.pop("days").items()}
    plan = Plan(**fields, days=days)
    for name, (least, most) in _LIMITS.items():
        value = getattr(plan, name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not least <= value <= most
        ):
            raise ValueError(f"{name} is {value!r}")
    if not all(plan.first <= day < plan.until for day in days):
        raise ValueError("a day is outside of the plan")
    return replace(plan, left_out=tuple(map(str, plan.left_out)))


def read() -> Plan | None:
    """The plan, if there is one. A file that cannot be read is set aside, and that is said."""
    return remembered.read(FILE, parsed, "The plan")


def write(plan: Plan) -> None:
    """Put the plan on the disk, whole; where that cannot be done, it is said."""
    try:
        write_atomically(FILE, json.dumps(plan.to_data(), indent=1) + "\n")
    except OSError as error:
        remembered.warn(f"the plan could not be written to {FILE} ({error.strerror})")


def later(one: Plan | None, other: Plan | None) -> Plan | None:
    """Of two plans the one that was made later; of two states of one plan the one that is further."""

    def age(plan: Plan) -> tuple[float, int, int]:
        return plan.made, plan.laid, sum(item.done for item in plan.items)

    return max(filter(None, (one, other)), key=age, default=None)


def _item(data: Any) -> Item:
    item = Item(**data)
    texts = (item.command, item.title, item.why)
    if not (all(isinstance(t, str) for t in texts) and isinstance(item.minutes, int)):
        raise TypeError("an item is none")
    return item
