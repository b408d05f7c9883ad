"""The cards of what passes: a question, a function to write again, a bug to find."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from common.course.catalogue import Problem, problems
from common.course.outline import definitions
from common.learner import progress
from common.learner.progress import State
from common.review.memory import day_of

_LONGEST = 20  # lines to write; more than that is no matter of five minutes
_HUNT_AFTER = 7  # days


class Kind(StrEnum):
    QUESTION = "question"
    WRITE = "write"
    HUNT = "hunt"


@dataclass(frozen=True)
class Card:
    """Something to do again.

    Args:
        what: the question, or the name to write; nothing for a hunt.
        minutes: an estimate.
        first: the day on which it is due if it was never graded.
    """

    problem: Problem
    kind: Kind
    what: str
    minutes: int
    first: int

    @property
    def id(self) -> str:
        """ "05-causal-masking/write/causal_mask"; a question stands by a digest of its words."""
        what = self.what
        if self.kind == Kind.QUESTION:
            what = hashlib.sha256(what.encode()).hexdigest()[:8]
        return "/".join(filter(None, (self.problem.name, self.kind, what)))

    @property
    def title(self) -> str:
        """What a list calls it."""
        names = {Kind.QUESTION: "a question", Kind.WRITE: f"write {self.what}", Kind.HUNT: "a bug"}
        return f"{self.problem.label}: {names[self.kind]}"


def cards() -> list[Card]:
    """The cards of every problem that passes now."""
    data = progress.read()
    passing = [p for p in problems() if progress.state(p, data)[0] == State.PASSES]
    return [card for p in passing for card in of(p, data["problems"][p.name])]


def of(problem: Problem, entry: dict[str, Any]) -> Iterator[Card]:
    """The cards of a problem, each first due on a day of its own.

    Args:
        entry: what the progress says of it.
    """
    # Progress of an older course does not say when: it passes as it was last saved.
    solved = day_of(entry.get("solved") or problem.solution.stat().st_mtime)
    for number, question in enumerate(problem.readme.questions):
        yield Card(problem, Kind.QUESTION, question.title, 1, solved + 1 + 3 * number)
    number = 0
    for name, lines in to_write(problem).items():
        if lines <= _LONGEST and name in entry.get("parts", {}):
            minutes = min(2 + lines // 4, 5)
            yield Card(problem, Kind.WRITE, name, minutes, solved + 3 + 4 * number)
            number += 1
    if problem.mistakes.is_file() and not problem.is_interview:
        yield Card(problem, Kind.HUNT, "", 6, solved + _HUNT_AFTER)


def to_write(problem: Problem) -> dict[str, int]:
    """The functions and classes that the skeleton leaves open, and about how many lines each lacks."""
    return _to_write(problem.skeleton, problem.reference_text)


@cache
def _to_write(skeleton: str, reference: str) -> dict[str, int]:
    holes, whole = definitions(skeleton), definitions(reference)
    return {
        name: _lines(whole[name]) - _lines(node) + 1
        for name, node in holes.items()
        if name in whole and "NotImplementedError" in ast.dump(node)
    }


def _lines(node: ast.AST) -> int:
    return ast.unparse(node).count("\n")
