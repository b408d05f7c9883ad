"""A hunt from a level and a seed: the same ones give the same file."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from common.course import mistakes
from common.course.catalogue import Problem, find
from common.course.mistakes import DoesNotApply, Mistake
from common.errors import CourseError, UsageError
from common.hunting.effects import effects, own_checks
from common.hunting.natural import gives_itself_away, without_unused_imports

_TRIES = 20  # seeds after the one that was asked for


@dataclass(frozen=True)
class Level:
    """What a hunt of that level is made of."""

    says: str
    bugs: tuple[int, int]  # at least, at most
    minutes: int
    source: str = ""  # the problem whose reference it is; level 1 takes any


LEVELS = {
    1: Level("one bug in a problem's reference", (1, 1), 10),
    2: Level("two or three in a whole model", (2, 3), 20, "interview-01-gpt2-from-scratch"),
    3: Level("three to five in model, data, training and sampling", (3, 5), 45, "hunt-01-training-run"),
    4: Level("two or three that only numbers, a curve or a sample show", (2, 3), 40, "hunt-01-training-run"),
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """Where a bug stands in the planted text.

    Args:
        line: its first line, from 1. was: the planted lines, none where lines were left out. clean: the right ones.
    """

    line: int
    was: tuple[str, ...]
    clean: tuple[str, ...]


@dataclass(frozen=True)
class Hunt:
    """A file with bugs in it.

    Args:
        seed: may be a later one than was asked for.
        planted: the bugs, in the order of the text.
    """

    level: int
    seed: int
    problem: Problem
    planted: tuple[Mistake, ...]

    @cached_property
    def clean(self) -> str:
        return self.problem.reference_text

    @cached_property
    def text(self) -> str:
        """What the candidate gets."""
        return plant(self.clean, self.planted)

    def places(self, bug: Mistake) -> list[Place]:
        """Where that bug stands, and what would stand there without it."""
        others = plant(self.clean, [m for m in self.planted if m is not bug])
        right, wrong = others.splitlines(), self.text.splitlines()
        matcher = difflib.SequenceMatcher(None, right, wrong, autojunk=False)
        return [
            Place(k + 1, tuple(wrong[k:m]), tuple(right[i:j]))
            for kind, i, j, k, m in matcher.get_opcodes()
            if kind != "equal"
        ]

    def line(self, bug: Mistake) -> int:
        """Where to look for it: its first planted line, or where one was left out."""
        places = self.places(bug)
        return next((p for p in places if p.was), places[0]).line

    def own_checks(self, bug: Mistake) -> frozenset[str] | None:
        """Names of the checks that this bug fails and of which no other one of the hunt fails a case.

        None where it is the only one: then it is all that fail.
        """
        if len(self.planted) == 1:
            return None
        planted = [m.name for m in self.planted]
        return own_checks(bug.name, planted, effects(self.problem).fails)


def plant(clean: str, bugs: Iterable[Mistake]) -> str:
    """The clean text with these mistakes in it, and without imports that only the clean one uses.

    Raises:
        DoesNotApply: one of them has no place any more.
    """
    text = clean
    for bug in bugs:
        if bug.is_moved(text):
            raise DoesNotApply(f"{bug.name!r} has no place of its own")
        text = bug.apply(text)
    return without_unused_imports(text, clean)


def level_of(level: int) -> Level:
    """The level of that number.

    Raises:
        UsageError: there is none.
    """
    if level not in LEVELS:
        raise UsageError(f"--level must be 1 to {max(LEVELS)}, not {level}")
    return LEVELS[level]


def compose(level: int, seed: int, problem: Problem | None = None) -> Hunt:
    """The hunt of a level and a seed.

    Args:
        problem: for level 1; the others have their own.

    Raises:
        UsageError: a problem is missing, or there is one too many. CourseError: no seed near this one will do.
    """
    rules = level_of(level)
    if rules.source and problem:
        raise UsageError(
            f"a hunt of level {level} is not about one problem: leave {problem.key} out"
        )
    if not rules.source and not problem:
        raise UsageError("a hunt of level 1 is about one problem: name it")
    source = problem or find(rules.source)
    for tried in range(seed, seed + _TRIES):
        draw = random.Random(f"{level} {source.name} {tried}")
        if planted := _drawn(source, level, draw):
            return Hunt(level, tried, source, planted)
    raise CourseError(f"no hunt of level {level} can be made of {source.name} with seed {seed}")


def pool(problem: Problem, level: int) -> list[Mistake]:
    """The mistakes that a hunt of that level may hold."""
    known = [m for m in mistakes.known(problem) if m.natural]
    if level == 1:
        return known
    measured = effects(problem)
    fits = measured.silent if level == 4 else measured.fails.keys()
    return [m for m in known if m.name in fits and measured.fails.get(m.name)]


def _drawn(problem: Problem, level: int, draw: random.Random) -> tuple[Mistake, ...]:
    """Mistakes that can be told apart in one file, in its order; none where too few go together."""
    least, most = LEVELS[level].bugs
    count, known, chosen = draw.randint(least, most), pool(problem, level), list[Mistake]()
    for mistake in draw.sample(known, len(known)):
        if len(chosen) < count and _fits(problem, [*chosen, mistake]):
            chosen.append(mistake)
    if len(chosen) < least:
        return ()
    hunt = Hunt(level, 0, problem, tuple(chosen))
    return tuple(sorted(chosen, key=hunt.line))


def _fits(problem: Problem, bugs: Sequence[Mistake]) -> bool:
    """Whether the last of these mistakes goes with the others in one file."""
    *others, last = bugs
    if others and not effects(problem).apart.isdisjoint(
        frozenset((last.name, m.name)) for m in others
    ):
        return False
    hunt = Hunt(0, 0, problem, tuple(bugs))
    if any(own is not None and not own for own in map(hunt.own_checks, bugs)):
        return False
    try:
        return hunt.text != hunt.clean and not gives_itself_away(hunt.text, hunt.clean)
    except (DoesNotApply, SyntaxError):
        return False
