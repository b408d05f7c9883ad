"""The parts of the problems that a real run is made of: the reference's, or the learner's own."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from common import loading, progress
from common.catalogue import Problem, find
from common.errors import CourseError
from common.loading import LoadFailure
from common.progress import State

# Everything that a GPT-2 of the learner's own rests on, in the order of the road.
FOUNDATION = (4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16)
LATER = (17, 18)


class NotYours(CourseError):
    """A part of the learner's that does not pass its own tests."""


@dataclass(frozen=True)
class Parts:
    """Where problem(N) is looked up."""

    tree: loading.Tree

    def problem(self, number: int) -> ModuleType:
        """The module of a problem, with its earlier parts from the same side.

        Raises:
            NotYours: it cannot be loaded, or is not written yet.
        """
        wanted = find(number)
        path = self.tree(wanted)
        try:
            return loading.load(path, self.tree)
        except (LoadFailure, NotImplementedError) as failure:
            raise NotYours(_told(wanted, str(failure))) from None

    def __call__(self, number: int, name: str) -> Any:
        """One name of a problem."""
        module = self.problem(number)
        try:
            return getattr(module, name)
        except AttributeError:
            raise NotYours(_told(find(number), f"it does not define {name}")) from None


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
    from common.verdict import judge

    verdict = judge(problem, problem.solution)
    if verdict.failure:
        raise NotYours(_told(problem, verdict.failure))
    if not verdict.passes:
        progress.record(problem, verdict.outcomes)
        first = next(o for o in verdict.outcomes if o.status != "passed")
        reason = first.lines[0] if first.lines else first.sentence
        raise NotYours(_told(problem, reason))
    progress.record(problem, verdict.outcomes)


def _told(problem: Problem, reason: str) -> str:
    return (
        f"your {problem.key} {problem.title} does not pass ({reason.splitlines()[0]}); "
        f"uv run gpt2 check {problem.key} says what is wrong"
    )
