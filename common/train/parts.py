"""The parts of the problems that a real run is made of: the reference's, or the learner's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any

from common.course.catalogue import Problem, find
from common.errors import CourseError
from common.judging import loading
from common.judging.loading import LoadFailure
from common.judging.records import Request
from common.learner import progress
from common.learner.progress import State
from common.shell import gpt2

# Everything that a GPT-2 of the learner's own rests on, in the order of the road.
FOUNDATION = (4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16)
PRETRAINED = 17


class NotYours(CourseError):
    """A part of the learner's that does not pass its own tests."""


@dataclass(frozen=True)
class Parts:
    """Where problem(N) is looked up."""

    tree: loading.Tree

    def __call__(self, number: int, name: str) -> Any:
        """One name of a problem, with its earlier parts from the same side.

        Raises:
            NotYours: it cannot be loaded, or is not written yet.
        """
        try:
            return getattr(_module(self.tree, number), name)
        except AttributeError:
            raise NotYours(_told(find(number), f"it does not define {name}")) from None


@cache
def _module(tree: loading.Tree, number: int) -> ModuleType:
    """Executed once: two looks at a part get the same class."""
    wanted = find(number)
    try:
        with loading.building_on(tree):
            return loading.problem(number)
    except (LoadFailure, NotImplementedError) as failure:
        raise NotYours(_told(wanted, str(failure))) from None


def parts(*, mine: bool, numbers: tuple[int, ...] = FOUNDATION) -> Parts:
    """The reference's parts, or the learner's after a check that they pass their tests.

    Raises:
        NotYours: the first problem of the learner's that does not pass, by its name.
    """
    if not mine:
        return Parts(loading.references)
    remembered = progress.read()
    for number in numbers:
        problem = find(number)
        # What passed and has not changed since need not be asked again.
        if progress.state(problem, remembered)[0] != State.PASSES:
            _must_pass(problem)
    return Parts(loading.learners)


def _must_pass(problem: Problem) -> None:
    from common.judging.runner import run

    verdict = run(Request(problem.name, problem.solution), budget=0)
    progress.record(verdict)
    if verdict.failure:
        raise NotYours(_told(problem, verdict.failure))
    if not verdict.passes:
        first = next(o for o in verdict.outcomes if o.status != "passed")
        raise NotYours(_told(problem, first.facts[0] if first.facts else first.sentence))


def _told(problem: Problem, reason: str) -> str:
    return (
        f"your {problem.label} does not pass ({reason.splitlines()[0]}); "
        f"{gpt2(f'check {problem.key}')} says what is wrong"
    )
