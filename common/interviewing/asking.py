"""What an attempt asks for: the examples at a save, the hidden tests at the end."""

from __future__ import annotations

from common.course.catalogue import Problem
from common.judging.records import Ended, Request, Verdict
from common.judging.report import wrapped
from common.learner.attempts import Attempt

LIMIT = 20.0  # seconds for the hidden tests, or for the examples after a save


def hidden_tests(problem: Problem, attempt: Attempt) -> Request:
    """What is asked at the end."""
    return Request(problem.name, attempt.file, "given", by_cause=True, measured=True, limit=LIMIT)


def examples(problem: Problem, attempt: Attempt) -> Request:
    """What is asked at a save."""
    return Request(problem.name, attempt.file, "given", examples=True, limit=LIMIT)


def candidates_view(verdict: Verdict, width: int) -> list[str]:
    """What a save shows: whether it runs, and which examples pass; nothing of the hidden tests."""
    if verdict.ended == Ended.TIMEOUT:
        where = verdict.where or "an unknown place"
        return wrapped(
            f"No end after {LIMIT:g} seconds: likely an endless loop, at {where}.", width
        )
    if verdict.ended:
        return wrapped(f"Your code ended Python itself ({verdict.where}).", width)
    if verdict.failure:
        lines = verdict.failure.splitlines()
        return [
            "The file does not run:",
            *(x for line in lines for x in wrapped("  " + line, width)),
        ]
    lines = []
    for example in verdict.examples:
        lines += wrapped(f"{'passes' if example.passes else 'FAILS':<7} {example.caption}", width)
        lines += [
            x
            for fact in example.facts
            for line in fact.splitlines()
            for x in wrapped("        " + line, width)
        ]
    if lines and all(example.passes for example in verdict.examples):
        lines += ["", *wrapped("All examples pass; the hidden tests ask for more.", width)]
    return lines
