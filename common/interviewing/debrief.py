"""What a candidate reads when it is over: points, every failing check by its cause, what lies beside the file."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from fractions import Fraction

from common.course.catalogue import Problem, shown
from common.files import content, text, write_atomically
from common.grading.marks import Earned, read_scheme, rounded
from common.judging.records import Status, Verdict
from common.judging.report import report, wrapped
from common.learner.attempts import Attempt

_WHOLE = 1 << 20  # columns: lines are broken where they are shown


def finish(
    problem: Problem, attempt: Attempt, how: str, verdict: Verdict
) -> tuple[Attempt, list[str]]:
    """Stop the clock, keep the score, and lay report, reference and approach beside the file.

    Returns:
        The record, and the report's lines, which are to be broken where they are shown.
    """
    changed = attempt.file.stat().st_mtime if attempt.file.exists() else 0.0
    late = changed - (attempt.begun + 60 * attempt.minutes)
    earned = _earned(problem, verdict)
    promises = tuple(
        (e.requirement.title, rounded(e.points), rounded(e.requirement.points)) for e in earned
    )
    done = attempt.ended(
        how,
        verdict.passed,
        len(verdict.outcomes) or 1,
        points=rounded(sum((e.points for e in earned), Fraction())),
        most=rounded(read_scheme().points(problem)),
        promises=promises,
    )
    write_atomically(attempt.folder / "reference.py", problem.reference_text)
    beside = ["reference.py"]
    if approach := content(problem.explanation):
        write_atomically(attempt.folder / problem.explanation.name, approach)
        beside.append(problem.explanation.name)
    used = f"{minutes(done.used)} of {attempt.minutes:g} minutes"
    lines = [f"{how[0].upper()}{how[1:]} after {used}: {done.score}."]
    if late > 60:
        lines.append(
            f"The file was changed {late / 60:.0f} minutes after time was up; that counts too."
        )
    lines += ["", *points(done), *([""] if promises else [])]
    lines += [line for line in report(verdict, width=_WHOLE)[1:] if not line.startswith("Next: ")]
    if verdict.cost and verdict.cost.sentence:
        lines.append(verdict.cost.sentence)
    lines.append("")
    lines += [
        f"Beside your file now: {', '.join(beside)} and report.txt, in {shown(attempt.folder)}"
    ]
    text = [piece for line in lines for piece in wrapped(line)]
    write_atomically(attempt.folder / "report.txt", "\n".join(text) + "\n")
    write_atomically(attempt.folder / "report.json", json.dumps(lines, indent=1) + "\n")
    return done, lines


def kept_report(attempt: Attempt) -> list[str]:
    """The lines of an attempt's report; those of report.txt where it is older than report.json."""
    try:
        return [str(line) for line in json.loads(content(attempt.folder / "report.json"))]
    except (ValueError, TypeError):
        return text(attempt.folder / "report.txt").splitlines()


def _earned(problem: Problem, verdict: Verdict) -> list[Earned]:
    """What the file earns, promise by promise of the README, as an instructor's report has it."""
    if not verdict.outcomes:
        return []
    names = [o.name for o in verdict.outcomes]
    passed = [o.name for o in verdict.outcomes if o.status == Status.PASSED]
    return read_scheme().earned(problem, names, passed)


def points(done: Attempt) -> list[str]:
    """What was earned for each promise, or bug."""
    return [f"{got:>5g} of {most:<4g} {title}" for title, got, most in done.promises]


def aligned(mine: str, reference: str) -> Iterator[tuple[str, bool, str]]:
    """The lines of two texts, row by row: the one, whether they are the same, the other."""
    left, right = mine.splitlines(), reference.splitlines()
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, i, j, k, m in matcher.get_opcodes():
        for n in range(max(j - i, m - k)):
            a = left[i + n] if i + n < j else ""
            b = right[k + n] if k + n < m else ""
            yield a, kind == "equal", b


def minutes(value: float | None) -> str:
    """Minutes as a report shows them."""
    return f"{value or 0:.1f}"
