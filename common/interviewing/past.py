"""Earlier attempts, each in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.course.catalogue import Problem, shown
from common.interviewing.debrief import minutes
from common.learner.attempts import Attempt


def standing(problem: Problem, past: Sequence[Attempt]) -> str:
    """How a problem stands: "best 8 of 10, 2 tries", "running, 12 min left", or nothing."""
    own = [a for a in past if a.problem == problem.name]
    if going := [a for a in own if a.runs and a.left]:
        return f"running, {going[-1].left / 60:.0f} min left"
    done = [a for a in own if not a.runs]
    if not done:
        return ""
    tries = f"{len(done)} tr{'ies' if len(done) > 1 else 'y'}"
    return f"best {max(done, key=lambda a: a.share).score}, {tries}"


def result(attempt: Attempt) -> str:
    """How an attempt stands, in a line."""
    if attempt.runs:
        left = f"running, {attempt.left / 60:.0f} min left"
        return left if attempt.left else "time is up; go on to see the score"
    hints = f", {attempt.hints} hint{'s' * (attempt.hints > 1)}" if attempt.hints else ""
    time = f"{minutes(attempt.used)} of {attempt.minutes:g} min"
    return f"{attempt.score}{_checks(attempt)} in {time}, {attempt.how}{hints}"


def last_word(attempt: Attempt) -> str:
    """What is said of an attempt that is over."""
    score = f"{attempt.score}{_checks(attempt)} in {minutes(attempt.used)} minutes."
    return f"{score} {shown(attempt.folder)} keeps it."


def when(at: float) -> str:
    """A moment as a list has it."""
    return datetime.fromtimestamp(at).strftime("%Y-%m-%d %H:%M")


def _checks(attempt: Attempt) -> str:
    return f" ({attempt.passed} of {attempt.checks} checks)" if attempt.most else ""
