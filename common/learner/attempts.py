"""Attempts at interview problems and hunts: a folder each, with a clock that goes on while nobody looks."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from common.course.catalogue import ROOT, Problem, hunted, problems
from common.files import write_atomically

FOLDER = ROOT / "interviews"


@dataclass(frozen=True)
class Attempt:
    """One try at a problem.

    Args:
        begun: seconds since the epoch. minutes: the time limit.
        used: minutes it took; None while the clock runs. passed, checks: of the hidden tests.
            In a hunt the bugs mended, and all of them.
        points, most: what that earns, and what all would; none in a hunt, nor in a record of an older course.
        promises: what those points are for, or the bugs of a hunt: a title, what was earned, what could be.
        how: "submitted", "time was up" or "given up".
        level, seed: of a hunt. planted: its bugs, unreadable, to know it again.
    """

    problem: str
    begun: float
    minutes: float
    used: float | None = None
    passed: int = 0
    checks: int = 0
    hints: int = 0
    how: str = ""
    level: int = 0
    seed: int = 0
    planted: tuple[str, ...] = ()
    points: float = 0.0
    most: float = 0.0
    promises: tuple[tuple[str, float, float], ...] = ()

    @property
    def folder(self) -> Path:
        stamp = datetime.fromtimestamp(self.begun).strftime("%Y-%m-%d-%H%M%S")
        return FOLDER / (_hunts(self.level) if self.level else self.problem) / stamp

    @property
    def given(self) -> Path:
        """What the candidate's file began as."""
        return self.folder / "given.py"

    @property
    def file(self) -> Path:
        """What the candidate edits."""
        return self.folder / "solution.py"

    @property
    def left(self) -> float:
        """Seconds until time is up, never below 0."""
        return max(self.begun + 60 * self.minutes - time.time(), 0.0)

    @property
    def runs(self) -> bool:
        return self.used is None

    @property
    def whole(self) -> bool:
        """Whether nothing was missed."""
        return 0 < self.checks == self.passed

    @property
    def share(self) -> float:
        """The score as a part of 1: of the points, else of the bugs."""
        got, most = (self.points, self.most) if self.most else (self.passed, self.checks)
        return got / most if most else 0.0

    @property
    def score(self) -> str:
        """The score: "7.5 of 10 points", in a hunt "2 of 3 bugs"."""
        if self.most:
            return f"{self.points:g} of {self.most:g} points"
        return f"{self.passed} of {self.checks} {'bugs' if self.level else 'checks'}"

    def save(self) -> None:
        """Write the record; a crash leaves the old one or the new one."""
        write_atomically(self.folder / "attempt.json", json.dumps(asdict(self), indent=1) + "\n")

    def ended(self, how: str, passed: int, checks: int, **points: Any) -> Attempt:
        """The record of the finished attempt, saved.

        Args:
            points: `points` and `most` where the problem has some, and `promises`.
        """
        used = round(min((time.time() - self.begun) / 60, self.minutes), 2)
        done = replace(self, used=used, passed=passed, checks=checks, how=how, **points)
        done.save()
        return done

    def hinted(self, hints: int) -> Attempt:
        """The record with so many hints opened, saved."""
        noted = replace(self, hints=max(hints, self.hints))
        noted.save()
        return noted


def begin(problem: Problem, minutes: float, text: str | None = None, **of_a_hunt: Any) -> Attempt:
    """A new attempt with a fresh file; earlier ones stay where they are.

    Args:
        text: what the file begins as; by default the problem's skeleton.
    """
    attempt = Attempt(problem.name, time.time(), minutes, **of_a_hunt)
    while attempt.folder.exists():  # another one has begun within this second
        attempt = replace(attempt, begun=attempt.begun + 1)
    attempt.folder.mkdir(parents=True)
    if text is not None:
        write_atomically(attempt.given, text)
    write_atomically(attempt.file, problem.skeleton if text is None else text)
    attempt.save()
    return attempt


def history(problem: Problem | None = None) -> list[Attempt]:
    """All attempts, oldest first; records that cannot be read are left out."""
    known = [problem.name] if problem else [p.name for p in problems() if p.is_interview]
    found = [attempt for name in known for attempt in _read(FOLDER / name)]
    return sorted(found, key=lambda attempt: attempt.begun)


def at(problem: str, level: int, begun: float) -> Attempt | None:
    """The attempt that began in that moment; None where its record is gone."""
    folder = Attempt(problem, begun, 0, level=level).folder
    return next((a for a in _read(folder.parent) if a.folder == folder), None)


def unreadable(names: Iterable[str]) -> tuple[str, ...]:
    """The names of bugs in a form that tells nothing to who opens the record."""
    return tuple(hashlib.sha256(name.encode()).hexdigest()[:12] for name in names)


def hunts() -> list[Attempt]:
    """All hunts and what followed them, oldest first."""
    folders = [_hunts(level) for level in range(1, 10)] + [p.name for p in hunted()]
    found = [attempt for name in folders for attempt in _read(FOLDER / name)]
    return sorted(found, key=lambda attempt: attempt.begun)


def _hunts(level: int) -> str:
    return f"hunt-level-{level}"


def running(problem: Problem) -> Attempt | None:
    """The latest attempt whose clock has not been stopped."""
    return next((a for a in reversed(history(problem)) if a.runs), None)


def _read(folder: Path) -> Iterator[Attempt]:
    for record in folder.glob("*/attempt.json"):
        try:
            data: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
            data["planted"] = tuple(data.get("planted", ()))
            data["promises"] = tuple(map(tuple, data.get("promises", ())))
            attempt = Attempt(**data)
            if attempt.folder == record.parent:
                yield attempt
        except (OSError, ValueError, TypeError):
            continue
