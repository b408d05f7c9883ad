"""What a candidate reads when it is over: points, every failing check by its cause, what lies beside the file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from common.course.catalogue import Problem, shown
from common.files import content, write_atomically
from common.grading.marks import read_scheme, rounded
from common.judging.records import Status, Verdict
from common.judging.report import report
from common.learner.attempts import Attempt


def finish(
    problem: Problem, attempt: Attempt, how: str, verdict: Verdict
) -> tuple[Attempt, list[str]]:
    """Stop the clock, keep the score, and lay report, reference and approach beside the file."""
    late = attempt.file.stat().st_mtime - (attempt.begun + 60 * attempt.minutes)
    done = attempt.ended(how, verdict.passed, len(verdict.outcomes) or 1)
    write_atomically(attempt.folder / "reference.py", problem.reference_text)
    beside = ["reference.py"]
    if approach := content(problem.approach):
        write_atomically(attempt.folder / "APPROACH.md", approach)
        beside.append("APPROACH.md")
    used = f"{minutes(done.used)} of {attempt.minutes:g} minutes"
    lines = [f"{how[0].upper()}{how[1:]} after {used}: {done.score} %."]
    if late > 60:
        lines.append(
            f"The file was changed {late / 60:.0f} minutes after time was up; that counts too."
        )
    lines += ["", *points(problem, verdict)]
    lines += [*(line for line in report(verdict)[1:] if not line.startswith("Next: ")), ""]
    lines += [
        f"Beside your file now: {', '.join(beside)} and report.txt, in {shown(attempt.folder)}"
    ]
    write_atomically(attempt.folder / "report.txt", "\n".join(lines) + "\n")
    return done, lines


def points(problem: Problem, verdict: Verdict) -> list[str]:
    """What the file earns, promise by promise of the README, as an instructor's report has it."""
    if not verdict.outcomes:
        return []
    names = [o.name for o in verdict.outcomes]
    passed = [o.name for o in verdict.outcomes if o.status == Status.PASSED]
    lines = []
    for each in read_scheme().earned(problem, names, passed):
        got, most = rounded(each.points), rounded(each.requirement.points)
        lines.append(f"{got:>5g} of {most:<4g} {each.requirement.title}")
    return [*lines, ""]


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
