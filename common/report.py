"""From records to the few lines a learner reads."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from common.catalogue import Problem
from common.results import Diagnosis, Outcome, Status

WIDTH = 80


def problem_report(
    problem: Problem,
    whose: str,
    outcomes: Sequence[Outcome],
    diagnosis: Diagnosis | None = None,
    *,
    following: Problem | None = None,
    failure: str = "",
) -> list[str]:
    """The verdict on one problem, about 15 lines at most.

    Args:
        whose: the file under test and whose it is: "problems/05-.../solution.py (yours)".
        following: the problem to go on with after a pass.
        failure: why the file could not be loaded, when it could not.
    """
    number = problem.name[: len(problem.key)].removeprefix("interview-")
    head = f"{'Interview ' if problem.is_interview else ''}{number} {problem.title} · {whose}"
    if failure:
        return [
            head,
            *_indent(failure.splitlines()),
            "Next: mend this and run again.",
        ]
    passed = [o for o in outcomes if o.status == Status.PASSED]
    wrong = [o for o in outcomes if o.status in (Status.FAILED, Status.ERROR)]
    todo = [o for o in outcomes if o.status == Status.TODO]
    if not wrong and not todo:
        lines = [head, f"All {len(passed)} checks pass."]
        if following:
            lines.append(
                f"Next: problems/{following.name}/README.md (uv run gpt2 check {following.key})"
            )
        return lines
    hint = f"uv run gpt2 hint {problem.key}"
    if not wrong:
        if not passed:
            return [
                head,
                "Not written yet.",
                f"Start with {_shown_readme(problem)}; a hint: {hint}",
            ]
        ours = f"problem {number}: "
        missing = list(
            dict.fromkeys(
                o.lines[0].removeprefix("not written yet: ").removeprefix(ours) for o in todo
            )
        )
        return [
            head,
            *(f"  not written yet: {name}" for name in missing[:4]),
            f"{len(passed)} of {len(outcomes)} checks pass.",
            f"Next: write it. A hint: {hint}",
        ]
    first = _to_show(wrong, diagnosis)
    lines = [head, f"FAILED  {first.sentence}", *_indent(first.lines)]
    if first.printed.strip():
        lines += [
            "  your code printed:",
            *("    " + text for text in first.printed.strip().splitlines()[-3:]),
        ]
    if diagnosis:
        lines += _cause(diagnosis)
    others = len(wrong) - 1
    count = f"{len(passed)} of {len(outcomes)} checks pass"
    if others:
        count += f"; {others} more fail{'s' * (others == 1)}, perhaps from the same cause"
    if todo:
        count += f"; {len(todo)} wait for code not written yet"
    return [*lines, count + ".", f"Next: mend this and run again. A hint: {hint}"]


def _to_show(wrong: Sequence[Outcome], diagnosis: Diagnosis | None) -> Outcome:
    """The first failure, as checks go from cause to consequence, or the one that was diagnosed."""
    if diagnosis:
        return next((o for o in wrong if o.name == diagnosis.check), wrong[0])
    return wrong[0]


def _cause(diagnosis: Diagnosis) -> list[str]:
    if len(diagnosis.says) > 1:
        lines = ["This is exactly what two mistakes give together:"]
        for says in diagnosis.says:
            lines += textwrap.wrap(f"- {says}", WIDTH, subsequent_indent="  ")
        return lines
    known = (
        "Cause: "
        if diagnosis.exact
        else "Likely cause (this check's values match; others differ): "
    )
    return textwrap.wrap(known + diagnosis.says[0], WIDTH)


def _indent(lines: Sequence[str]) -> list[str]:
    """Two columns in and wrapped to the width, or cut where it is code (four columns in)."""
    out: list[str] = []
    for line in lines:
        lead = " " * (2 + len(line) - len(line.lstrip()))
        if len(lead) > 5:  # code: cut, not wrapped
            text = lead + line.strip()
            out.append(text if len(text) <= WIDTH else text[: WIDTH - 3] + "...")
            continue
        out += textwrap.wrap(
            line.strip(), WIDTH, initial_indent=lead, subsequent_indent=lead, break_on_hyphens=False
        ) or [""]
    return out


def _shown_readme(problem: Problem) -> str:
    return f"problems/{problem.name}/README.md"
