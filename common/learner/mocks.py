"""Mock interviews: several attempts under one clock, each with a folder of its own, and a record of the whole."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from common.files import write_atomically
from common.learner import attempts
from common.learner.attempts import Attempt


@dataclass(frozen=True)
class Section:
    """A part of a mock.

    Args:
        role: "warm-up". problem: its name; level, seed: of a hunt.
        minutes: what it should take; there is no limit but that of the whole.
        begun: when its attempt began, in seconds since the epoch; None before that.
    """

    role: str
    problem: str
    minutes: int
    level: int = 0
    seed: int = 0
    begun: float | None = None

    @property
    def attempt(self) -> Attempt | None:
        """Its attempt as it stands; None before it began."""
        if self.begun is None:
            return None
        return attempts.at(self.problem, self.level, self.begun)


@dataclass(frozen=True)
class Mock:
    """A session.

    Args:
        begun: seconds since the epoch. minutes: the time limit of the whole.
        judged: seconds in which hidden tests ran and the clock stood.
        how: how it ended; empty while it runs. used: the minutes it took.
    """

    begun: float
    minutes: float
    seed: int
    sections: tuple[Section, ...]
    judged: float = 0.0
    how: str = ""
    used: float = 0.0

    @property
    def folder(self) -> Path:
        stamp = datetime.fromtimestamp(self.begun).strftime("%Y-%m-%d-%H%M%S")
        return attempts.FOLDER / "mock" / stamp

    @property
    def runs(self) -> bool:
        return not self.how

    @property
    def at(self) -> int | None:
        """The number of the section that is to be worked at, from 0; None behind the last."""
        for number, section in enumerate(self.sections):
            attempt = section.attempt
            if attempt is None or attempt.runs:
                return number
        return None

    def gone(self, now: float) -> float:
        """Seconds on its clock."""
        return min(max(now - self.begun - self.judged, 0.0), 60 * self.minutes)

    def left(self, now: float) -> float:
        """Seconds until time is up, never below 0."""
        return 60 * self.minutes - self.gone(now)

    @property
    def points(self) -> float:
        """Ten for each section at most, to hundredths."""
        found = [section.attempt for section in self.sections]
        return round(sum(10 * a.share for a in found if a and not a.runs), 2)

    @property
    def score(self) -> str:
        return f"{self.points:g} of {10 * len(self.sections)} points"

    def began(self, attempt: Attempt) -> Mock:
        """The record with the attempt of the section that is next, saved."""
        assert self.at is not None
        sections = [*self.sections]
        sections[self.at] = replace(sections[self.at], begun=attempt.begun)
        return replace(self, sections=tuple(sections)).saved()

    def saved(self) -> Mock:
        """Itself, once it is written; a crash leaves the old record or the new one."""
        write_atomically(self.folder / "mock.json", json.dumps(asdict(self), indent=1) + "\n")
        return self


def begin(sections: tuple[Section, ...], seed: int, minutes: float, now: float) -> Mock:
    """A new mock; earlier ones stay where they are."""
    mock = Mock(now, minutes, seed, sections)
    while mock.folder.exists():  # another one has begun within this second
        mock = replace(mock, begun=mock.begun + 1)
    return mock.saved()


def history() -> list[Mock]:
    """All mocks, oldest first; records that cannot be read are left out."""
    found = []
    for record in (attempts.FOLDER / "mock").glob("*/mock.json"):
        try:
            mock = _parsed(json.loads(record.read_text(encoding="utf-8")))
            if mock.folder == record.parent:
                found.append(mock)
        except (OSError, ValueError, TypeError, KeyError, OverflowError):
            continue
    return sorted(found, key=lambda mock: mock.begun)


def running() -> Mock | None:
    """The latest mock that has not ended."""
    return next((mock for mock in reversed(history()) if mock.runs), None)


def _parsed(data: dict[str, Any]) -> Mock:
    sections = tuple(Section(**each) for each in data.pop("sections"))
    return Mock(**data, sections=sections)
