"""A learner's file over time: reset and brought back, a hint at a time, beside the reference."""

from __future__ import annotations

import difflib
from datetime import datetime
from pathlib import Path

from common.course.catalogue import Problem, find, road, shown
from common.course.readme import Folded
from common.errors import CourseError
from common.files import write_atomically
from common.judging.loading import read_source
from common.learner import progress
from common.learner.progress import State


def first_unsolved() -> Problem | None:
    """The first problem of the road that does not pass."""
    data = progress.read()
    return next((p for p in road() if progress.state(p, data)[0] != State.PASSES), None)


def next_unsolved(problem: Problem) -> Problem | None:
    """The next problem of the road that does not pass, from this one on and then from the start."""
    data, known = progress.read(), road()
    at = known.index(problem) + 1 if problem in known else 0
    after = [p for p in (*known[at:], *known[:at]) if p != problem]
    return next((p for p in after if progress.state(p, data)[0] != State.PASSES), None)


def next_hint(problem: Problem) -> tuple[Folded, int]:
    """Open one more hint: it, and how many are left. The last one stays."""
    hints = problem.readme.hints
    if not hints:
        raise CourseError(f"{shown(problem.readme_file)} has no hints")
    opened = min(open_hints(problem), len(hints))
    number = min(opened, len(hints) - 1)
    if opened < len(hints):
        progress.update({"hints": {problem.name: opened + 1}})
    return hints[number], len(hints) - number - 1


def open_hints(problem: Problem) -> int:
    """How many hints have been opened."""
    return progress.read().get("hints", {}).get(problem.name, 0)


def restart(problem: Problem) -> Path:
    """Keep the learner's file, put the skeleton in its place, and return where the old one is."""
    backup = keep(problem)
    entry = {"problem": problem.name, "backup": backup.relative_to(progress.FOLDER).as_posix()}
    progress.update({"resets": [*progress.read().get("resets", []), entry]})
    write_atomically(problem.solution, problem.skeleton)
    return backup


def undo(problem: Problem | None = None) -> tuple[Problem, Path | None]:
    """Bring back the file that the last reset (of that problem) replaced.

    Returns:
        The problem, and where the file that stood there now is kept, if it was more than the skeleton.

    Raises:
        CourseError: there was no reset, or its backup is gone.
    """
    resets = progress.read().get("resets", [])
    of = [r for r in resets if problem is None or r["problem"] == problem.name]
    if not of:
        raise CourseError(f"there is no reset{f' of {problem.key}' if problem else ''} to undo")
    last = of[-1]
    problem, kept = find(last["problem"]), progress.FOLDER / last["backup"]
    left = [r for r in resets if r is not last]
    if not kept.is_file():
        progress.update({"resets": left})
        raise CourseError(f"the backup {kept} is gone; that reset cannot be undone")
    current = None if progress.untouched(problem) else keep(problem)
    write_atomically(problem.solution, kept.read_bytes())
    progress.update({"resets": left})
    return problem, current


def keep(problem: Problem) -> Path:
    """A copy of the learner's file among the backups."""
    stamp = datetime.now().strftime("%Y-%m-%d-%H%M%S-%f")
    place = progress.FOLDER / "backups" / problem.name / f"{stamp}.py"
    write_atomically(place, problem.solution.read_bytes())
    return place


def diff_lines(problem: Problem) -> list[str]:
    """The learner's file against the reference, as a unified diff; empty when they are the same."""
    mine, reference = (
        read_source(problem.solution).splitlines(),
        problem.reference_text.splitlines(),
    )
    names = shown(problem.solution), shown(problem.reference)
    return [*difflib.unified_diff(mine, reference, *names, lineterm="", n=3)]
