"""From a verdict to the few lines a learner reads."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from common.course.catalogue import Problem, find, problems, shown
from common.judging.causes import Certainty, Diagnosis, mended
from common.judging.records import MORE_PRINTED, Ended, Outcome, Status, Verdict
from common.shell import gpt2

WIDTH = 80
_COMMAND = re.compile(r"(?:\S*uv run )?(?:\S*[/\\])?gpt2 [a-z]+(?: [\w-]+)?")
_GLUE = "\N{NO-BREAK SPACE}"
_PRINTED = 3  # lines of what the learner's code printed


def report(verdict: Verdict, *, width: int = WIDTH, cause: bool = True) -> list[str]:
    """The verdict on one problem, about 15 lines at most.

    Args:
        cause: tell it; else only what was seen, for who wants to think first.
    """
    problem = find(verdict.request.problem)
    head = _head(problem, verdict)
    by_cause = verdict.groups
    body = _by_cause(problem, verdict) if by_cause else _body(problem, verdict, width, cause=cause)
    return [head, *(line for text in body for line in wrapped(text, width))]


def holds_back(verdict: Verdict) -> bool:
    """Whether the report can say more than what was seen."""
    if verdict.partial or not verdict.wrong:
        return False
    known = verdict.diagnosis or verdict.first_line or verdict.mends
    return bool(known or verdict.shown.because)


def _head(problem: Problem, verdict: Verdict) -> str:
    request = verdict.request
    owner = request.owner + (
        ", earlier parts from the same place" if request.earlier != "references" else ""
    )
    return f"{problem.label} · {shown(request.file)} ({owner})"


def _by_cause(problem: Problem, verdict: Verdict) -> list[str]:
    """Every failing check: below its cause, or with what was seen where none is known."""
    by_name = {outcome.name: outcome for outcome in verdict.outcomes}
    lines = []
    for group in verdict.groups:
        failing = [by_name[name] for name in group.checks]
        if group.says:
            lines += [*_cause(group.says), *(f"  FAILED  {o.sentence}" for o in failing), ""]
            continue
        if len(verdict.groups) > 1:
            lines.append("No single one of these gives the rest; several at once may:")
        for outcome in failing:
            lines += [f"FAILED  {outcome.sentence}", *("  " + fact for fact in outcome.facts)]
            lines += ["  " + outcome.because] if outcome.because else []
    todo = sum(o.status == Status.TODO for o in verdict.outcomes)
    if verdict.mends:
        lines += [mended(verdict.mends, len(verdict.outcomes) - todo), ""]
    count = f"{verdict.passed} of {len(verdict.outcomes)} checks pass"
    return [*lines, count + (f"; {todo} wait for code not written yet." if todo else ".")]


def _body(problem: Problem, verdict: Verdict, width: int, *, cause: bool) -> list[str]:
    again = "Next: mend this and run again."
    if verdict.ended:
        return ended_lines(verdict)
    if verdict.failure:
        return [*("  " + line for line in verdict.failure.splitlines()), again]
    hint = gpt2(f"hint {problem.key}")
    outcomes = verdict.outcomes
    todo = [o for o in outcomes if o.status == Status.TODO]
    cause = cause and not verdict.partial
    count = f"{verdict.passed} of {len(outcomes)} checks pass"
    if verdict.passes:
        return [f"All {len(outcomes)} checks pass.", *_printed(outcomes), *_after_a_pass(verdict)]
    if not verdict.wrong:
        if not verdict.passed:
            return ["Not written yet.", f"Start with {shown(problem.readme_file)}; a hint: {hint}"]
        return [*_unwritten(problem, todo), f"{count}.", f"Next: write it. A hint: {hint}"]
    first = verdict.shown
    lines = [f"FAILED  {first.sentence}", *("  " + fact for fact in first.facts)]
    if first.excerpt:
        lines += ["    " + line for line in first.excerpt.lines(width - 4)]
    certain = verdict.diagnosis and verdict.diagnosis.certainty != Certainty.LIKELY
    if first.because and not certain and cause:
        lines.append("  " + first.because)
    lines += _printed([first])
    if verdict.diagnosis and cause:
        lines += cause_lines(verdict.diagnosis, len(verdict.wrong))
    if verdict.mends and cause:
        lines.append(mended(verdict.mends, len(outcomes) - len(todo)))
    elif verdict.first_line and cause and first.status != Status.ERROR:
        lines.append(verdict.first_line.sentence(plain=bool(verdict.diagnosis)))
    others = len(verdict.wrong) - 1
    if others:
        known = verdict.diagnosis and verdict.diagnosis.certainty == Certainty.CAUSE
        same = known and cause
        count += f"; {others} more fail{'s' * (others == 1)}" + (
            ", from the same cause" if same else ""
        )
    if todo:
        count += f"; {len(todo)} wait{'s' * (len(todo) == 1)} for code not written yet"
    if verdict.partial:
        again = "Looking for its cause ..."
    return [*lines, f"{count}.", f"{again} A hint: {hint}"]


def _after_a_pass(verdict: Verdict) -> list[str]:
    """What a learner can read now, and what comes next; nobody else is told."""
    problem = find(verdict.request.problem)
    if verdict.request.owner != "yours":
        return []
    lines = []
    if problem.explanation.is_file():
        lines.append(f"Why the reference is as it is: {gpt2(f'explain {problem.key}')}")
    if following := _following(problem):
        lines.append(f"Next: {shown(following.readme_file)} ({gpt2(f'check {following.key}')})")
    return lines


def cause_lines(diagnosis: Diagnosis, wrong: int) -> list[str]:
    """What is known of the cause, in the words of the bank."""
    says = list(dict.fromkeys(diagnosis.says))
    if diagnosis.certainty == Certainty.TOGETHER:
        return ["This is exactly what two mistakes give together:", *(f"- {s}" for s in says)]
    if diagnosis.certainty == Certainty.LIKELY:
        return [
            f"One cause, which explains {diagnosis.explains} of the {wrong} failing checks: {says[0]}"
        ]
    return _cause(says)


def _cause(says: Sequence[str]) -> list[str]:
    if len(says) == 1:
        return [f"Cause: {says[0]}"]
    return [
        "Cause: one of these, which nothing that was checked can tell apart:",
        *(f"- {s}" for s in says[:3]),
    ]


def ended_lines(verdict: Verdict) -> list[str]:
    """Why a child gave no answer."""
    if verdict.ended == Ended.TIMEOUT:
        return [
            f"FAILED  no end after {verdict.request.limit:g} seconds: likely an endless loop",
            f"  it was at {verdict.where or 'a place that could not be found out'}",
            "  Look at the loop around that line: what makes it stop?",
        ]
    if verdict.ended == Ended.CRASH:
        return [
            f"FAILED  your code ended Python itself ({verdict.where})",
            "  That is os._exit, or a crash inside a library.",
        ]
    return verdict.where.splitlines()


def wrapped(line: str, width: int = WIDTH) -> list[str]:
    """A line in at most that many columns, set in as it was; code (four columns in) is broken, not reflowed."""
    text = line.strip()
    lead = " " * (len(line) - len(line.lstrip()))
    hang = lead + "  " if text.startswith("- ") else lead
    if len(lead) > 5:
        return [lead + piece for piece in broken_code(text, max(width - len(lead), 20))]
    # A command is to be copied in one piece: a space that is none to textwrap keeps it together.
    text = _COMMAND.sub(lambda found: found[0].replace(" ", _GLUE), text)
    lines = textwrap.wrap(
        text, width, initial_indent=lead, subsequent_indent=hang, break_on_hyphens=False
    )
    return [line.replace(_GLUE, " ") for line in lines] or [""]


def broken_code(text: str, room: int) -> list[str]:
    """A line of code in as many as it takes, every character kept; behind a space or a comma where one is near."""
    lines = []
    while len(text) > room:
        end = 1 + max(text.rfind(mark, 2 * room // 3, room) for mark in " ,")
        lines.append(text[: end or room])
        text = text[end or room :]
    return [*lines, text]


def _unwritten(problem: Problem, todo: Sequence[Outcome]) -> list[str]:
    ours = f"problem {problem.key}: "
    names = dict.fromkeys(
        o.facts[0].removeprefix("not written yet: ").removeprefix(ours) for o in todo
    )
    return [f"  not written yet: {name}" for name in [*names][:4]]


def _printed(outcomes: Sequence[Outcome]) -> list[str]:
    lines = [*dict.fromkeys(line for o in outcomes for line in o.printed.strip().splitlines())]
    if not lines:
        return []
    left = f" ({len(lines) - _PRINTED} lines before that)" if len(lines) > _PRINTED else ""
    if MORE_PRINTED in lines:
        left = ", much of it; the end"
    return [f"  your code printed{left}:", *("      " + line for line in lines[-_PRINTED:])]


def _following(problem: Problem) -> Problem | None:
    known = problems()
    after = known.index(problem) + 1
    return known[after] if after < len(known) else None
