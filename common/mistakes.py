"""Known wrong answers: data, each a small edit of a reference and the sentence a learner needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from common import loading
from common.catalogue import Problem
from common.errors import CourseError


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A wrong answer.

    Args:
        name: what was done, as a short phrase.
        find: text that occurs exactly once in the reference.
        put: what the learner wrote instead.
        says: what the output shows, why, and where to look.
        also: further (find, put) edits that belong to the same mistake.
        same_as: name of an entry that cannot be told from this one by its behaviour.
    """

    name: str
    find: str
    put: str
    says: str
    also: tuple[tuple[str, str], ...] = ()
    same_as: str | None = None

    def apply(self, source: str) -> str:
        """The reference's text with this mistake in it.

        Raises:
            CourseError: a text to find is not there exactly once.
        """
        for find, put in ((self.find, self.put), *self.also):
            if (count := source.count(find)) != 1:
                raise CourseError(f"mistake '{self.name}': {find!r} occurs {count} times, not once")
            source = source.replace(find, put)
        return source


@cache
def known(problem: Problem) -> tuple[Mistake, ...]:
    """The problem's list; empty where it has none."""
    if not problem.mistakes.is_file():
        return ()
    return tuple(loading.load(problem.mistakes).MISTAKES)


@cache
def made(problem: Problem, *mistakes: Mistake) -> ModuleType | None:
    """The reference with these mistakes made in it, executed; None where they exclude each other."""
    source = loading.read_source(problem.reference)
    try:
        for mistake in mistakes:
            source = mistake.apply(source)
        return loading.execute(source, Path(problem.reference))
    except (CourseError, NotImplementedError):
        if len(mistakes) == 1:
            raise
        return None
