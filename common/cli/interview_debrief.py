"""What a candidate reads when it is over: points, every failing check by its cause, both files side by side."""

from __future__ import annotations

import difflib
from fractions import Fraction

from common.cli import learn
from common.cli.screen import broken
from common.course.catalogue import Problem, shown
from common.files import content, write_atomically
from common.grading.marks import Earned, read_scheme, rounded
from common.judging.records import Status, Verdict
from common.judging.report import report
from common.learner.attempts import Attempt


def finish(
    problem: Problem, attempt: Attempt, how: str, verdict: Verdict
) -> tuple[Attempt, list[str]]:
    """Stop the clock, keep the score, and lay report, reference and approach beside the file."""
    late = attempt.file.stat().st_mtime - (attempt.begun + 60 * attempt.minutes)
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
    lines += [line for line in report(verdict)[1:] if not line.startswith("Next: ")]
    if verdict.cost and verdict.cost.sentence:
        lines.append(verdict.cost.sentence)
    lines.append("")
    lines += [
        f"Beside your file now: {', '.join(beside)} and report.txt, in {shown(attempt.folder)}"
    ]
    write_atomically(attempt.folder / "report.txt", "\n".join(lines) + "\n")
    return done, lines


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


def compared(mine: str, reference: str, width: int) -> list[str]:
    """Two texts beside one another where there is room for both, else one after the other, change by change."""
    widest = max(map(len, [*mine.splitlines(), *reference.splitlines(), ""]))
    if 2 * widest + 3 <= width:
        return side_by_side(mine, reference, width)
    changes = difflib.unified_diff(
        mine.splitlines(), reference.splitlines(), "yours", "the reference", lineterm="", n=999
    )
    painted = [learn.painted_diff(part) for line in changes for part in broken(line, width)]
    return painted or ["Yours and the reference are the same."]


def side_by_side(mine: str, reference: str, width: int = 80) -> list[str]:
    """Two texts in two columns, lines that differ marked."""
    column = (width - 3) // 2
    left, right = mine.splitlines(), reference.splitlines()
    rows = [f"{'yours':<{column}}   the reference", ""]

    def row(a: str, mark: str, b: str) -> str:
        return f"{a[:column]:<{column}} {mark} {b[:column]}".rstrip()

    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for kind, i, j, k, m in matcher.get_opcodes():
        mark = " " if kind == "equal" else "|"
        for n in range(max(j - i, m - k)):
            a = left[i + n] if i + n < j else ""
            b = right[k + n] if k + n < m else ""
            rows.append(row(a, mark, b))
    return rows


def minutes(value: float | None) -> str:
    """Minutes as a report shows them."""
    return f"{value or 0:.1f}"
