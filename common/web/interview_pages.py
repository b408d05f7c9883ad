"""The pages of interviews: the list, an attempt with its clock, and what is read afterwards."""

from __future__ import annotations

from markupsafe import Markup

from common.course.catalogue import Problem, problems, shown
from common.files import text
from common.interviewing.asking import candidates_view
from common.interviewing.debrief import aligned, kept_report
from common.interviewing.past import result, standing, when
from common.judging.records import Verdict
from common.learner import attempts
from common.learner.attempts import Attempt
from common.web import markdown, pages
from common.web.pages import fill

broken = pages.broken
_WIDE = 1 << 20  # columns: the browser breaks lines


def listed() -> str:
    """All interview problems, and all attempts."""
    past = attempts.history()
    known = [(p, standing(p, past)) for p in problems() if p.is_interview]
    return fill("interviews", listed=known, past=[_told(a) for a in reversed(past)])


def page(problem: Problem, attempt: Attempt | None, *, fresh: bool) -> str:
    """One problem: before, during or after an attempt.

    Args:
        attempt: the one that is running. fresh: nothing was saved since it was begun.
    """
    past = [a for a in reversed(attempts.history(problem)) if not a.runs]
    done = past[0] if past and not attempt else None
    return fill(
        "interview",
        problem=problem,
        attempt=attempt,
        done=done,
        file=shown(attempt.file) if attempt else "",
        welcome="Nothing saved yet."
        if fresh
        else "Welcome back: the clock went on while you were away.",
        hints=Markup(hints(problem, attempt.hints) if attempt else ""),
        report=[pages.line(text) for text in kept_report(done)] if done else [],
        beside=[*aligned(_text(done, "solution.py"), _text(done, "reference.py"))] if done else [],
        approach=markdown.render(_text(done, problem.explanation.name), problem) if done else "",
        task=markdown.render(problem.readme.task, problem),
        past=[_told(a) for a in past],
    )


def hints(problem: Problem, opened: int) -> str:
    """The hints that are open."""
    known = problem.readme.hints
    return fill(
        "interview_hints",
        parts=[markdown.folded(each, problem) for each in known[:opened]],
        all=len(known),
    )


def examples(stamp: str, verdict: Verdict) -> str:
    """What a save shows, in the words of the terminal."""
    return fill("examples", stamp=stamp, lines=map(_line, candidates_view(verdict, _WIDE)))


def _line(line: str) -> tuple[str, str, str]:
    for word, kind in (("passes", "passed"), ("FAILS", "failed")):
        if line.startswith(word):
            return kind, word, line.removeprefix(word).strip()
    return ("fact", "", line.strip()) if line.startswith("  ") else ("plain", "", line)


def _text(attempt: Attempt | None, name: str) -> str:
    return text(attempt.folder / name) if attempt else ""


def _told(attempt: Attempt) -> tuple[str, str, str]:
    """When an attempt was begun, at what, and what became of it."""
    return when(attempt.begun), attempt.problem, result(attempt)
