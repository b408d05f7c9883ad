"""Earlier attempts, each in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from common.course.catalogue import Problem
from common.interviewing.debrief import minutes
from common.learner.attempts import Attempt


def standing(problem: Problem, past: Sequence[Attempt]) -> str:
    """How a problem stands: "best 80 % in 2", "running, 12 min left", or nothing."""
    own = [a for a in past if a.problem == problem.name]
    done = [a for a in own if not a.runs]
    if going := [a for a in own if a.runs and a.left]:
        return f"running, {going[-1].left / 60:.0f} min left"
    return f"best {max(a.score for a in done)} % in {len(done)}" if done else ""


def told(attempt: Attempt) -> tuple[str, str, str]:
    """When an attempt was begun, at what, and what became of it."""
    when = datetime.fromtimestamp(attempt.begun).strftime("%Y-%m-%d %H:%M")
    if attempt.runs:
        how = "running" if attempt.left else "time is up; go on to see the score"
        return when, attempt.problem, how
    hints = f", {attempt.hints} hint{'s' * (attempt.hints > 1)}" if attempt.hints else ""
    used = f"{minutes(attempt.used)} of {attempt.minutes:g} min"
    return when, attempt.problem, f"{used}   {attempt.score:>3} %   {attempt.how}{hints}"
