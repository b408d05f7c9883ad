"""From passed checks to points: pure, exact, the same on every machine. requirements.toml says what earns what."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from pathlib import Path
from typing import Any

from common.course.catalogue import Problem, find
from common.errors import UsageError
from common.judging.records import function_of

DEFAULT = Path(__file__).with_name("requirements.toml")
REST = "rest"  # the requirement that takes every test that no other one names
_KEYS = {"title", "points", "tests", "needs", "partly"}


@dataclass(frozen=True)
class Requirement:
    """Something that a problem's README promises.

    Args:
        tests: patterns for the names of the test functions that look at it; none takes what is left.
        needs: names of requirements that have to be earned in full before this one counts.
        partly: each of its test functions earns its share; else all have to pass.
    """

    name: str
    title: str
    points: Fraction
    tests: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    partly: bool = False


_WHOLE = Requirement(REST, "It works", Fraction(10))


@dataclass(frozen=True)
class Earned:
    """What a submission got for a requirement.

    Args:
        missed: test functions that do not pass.
        waits: names of requirements that it needs and that were not earned.
    """

    requirement: Requirement
    points: Fraction
    missed: tuple[str, ...] = ()
    waits: tuple[str, ...] = ()

    @property
    def full(self) -> bool:
        return self.points == self.requirement.points


@dataclass(frozen=True)
class Scheme:
    """The requirements of problems, by the problem's name."""

    requirements: Mapping[str, tuple[Requirement, ...]]

    def of(self, problem: Problem) -> tuple[Requirement, ...]:
        """A problem's requirements; where none are written down, one that asks for all of its checks."""
        return self.requirements.get(problem.name, (_WHOLE,))

    def points(self, problem: Problem) -> Fraction:
        """What the whole problem is worth."""
        return sum((r.points for r in self.of(problem)), Fraction())

    def functions(self, problem: Problem, checks: Sequence[str]) -> dict[str, list[str]]:
        """The test functions of each requirement.

        Raises:
            UsageError: a pattern fits none, or there is none for a requirement.
        """
        left = [*dict.fromkeys(map(function_of, checks))]
        found: dict[str, list[str]] = {}
        for each in self.of(problem):
            for pattern in each.tests:
                if not any(fnmatchcase(name, pattern) for name in map(function_of, checks)):
                    raise UsageError(
                        f"{problem.key}.{each.name} names {pattern}, which fits no test of {problem.name}"
                    )
            found[each.name] = [n for n in left if any(fnmatchcase(n, p) for p in each.tests)]
            left = [n for n in left if n not in found[each.name]]
        if left and REST not in found:
            raise UsageError(
                f"no requirement of {problem.name} names {left[0]}, and there is no {problem.key}.{REST}"
            )
        found[REST] = found.get(REST, []) + left
        if empty := [r.name for r in self.of(problem) if not found[r.name]]:
            raise UsageError(f"{problem.key}.{empty[0]} has no test of {problem.name}")
        return found

    def earned(
        self,
        problem: Problem,
        checks: Sequence[str],
        passed: Collection[str],
        free: Collection[str] = (),
    ) -> list[Earned]:
        """What the passed checks earn, requirement by requirement.

        Args:
            checks: the names of all of the problem's checks, cases and all.
            free: those that the untouched skeleton passes. Who passes nothing else has done nothing.
        """
        passed = set() if set(passed) <= set(free) else set(passed)
        missed_at_all = {function_of(name) for name in checks if name not in passed}
        functions = self.functions(problem, checks)
        done: dict[str, Earned] = {}
        for each in _in_order(self.of(problem)):
            names = functions[each.name]
            missed = tuple(name for name in names if name in missed_at_all)
            waits = tuple(name for name in each.needs if not done[name].full)
            share = Fraction(len(names) - len(missed), len(names))
            share = share if each.partly or not missed else Fraction()
            points = Fraction() if waits else share * each.points
            done[each.name] = Earned(each, points, missed, waits)
        return [done[each.name] for each in self.of(problem)]


def read_scheme(path: Path | None = None) -> Scheme:
    """The requirements, those of a problem replaced by what a file of one's own says of it.

    Raises:
        UsageError: the file is missing, is not TOML, or does not say what it should; with the place.
    """
    found: dict[str, tuple[Requirement, ...]] = {}
    for file in filter(None, (DEFAULT, path)):
        try:
            data = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file}: {error}") from None
        for key, tables in data.items():
            if not isinstance(tables, dict) or not tables:
                raise UsageError(f"{file}: [{key}] should hold requirements, as [{key}.name]")
            made = [
                _requirement(name, table, f"{file}: {key}.{name}") for name, table in tables.items()
            ]
            for each in made:
                if unknown := sorted({*each.needs} - {other.name for other in made}):
                    raise UsageError(
                        f"{file}: {key}.{each.name} needs {unknown[0]}, which is not there"
                    )
            _in_order(made)
            found[find(key).name] = tuple(made)
    return Scheme(found)


def rounded(points: Fraction) -> float:
    """To hundredths, halves up."""
    return int(points * 100 + Fraction(1, 2)) / 100


def _requirement(name: str, table: Any, where: str) -> Requirement:
    if not isinstance(table, dict) or (odd := sorted(table.keys() - _KEYS)):
        unknown = odd[0] if isinstance(table, dict) else name
        raise UsageError(f"{where}: {', '.join(sorted(_KEYS))} are known, no {unknown}")
    points, tests, needs = table.get("points"), table.get("tests", []), table.get("needs", [])
    if isinstance(points, bool) or not isinstance(points, int | float) or not 0 <= points < 1e6:
        raise UsageError(f"{where}.points should be a number from 0 on, not {points!r}")
    for key, value in (("tests", tests), ("needs", needs)):
        if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
            raise UsageError(f"{where}.{key} should be a list of names, not {value!r}")
    if not tests and name != REST:
        raise UsageError(
            f"{where} has no tests; only a requirement called {REST} takes what is left"
        )
    title, partly = str(table.get("title", name)), table.get("partly") is True
    return Requirement(name, title, Fraction(str(points)), tuple(tests), tuple(needs), partly)


def _in_order(requirements: Sequence[Requirement]) -> list[Requirement]:
    """Each after those that it needs.

    Raises:
        UsageError: they need each other in a circle.
    """
    done: list[Requirement] = []
    while len(done) < len(requirements):
        names = {each.name for each in done}
        ready = [r for r in requirements if r.name not in names and {*r.needs} <= names]
        if not ready:
            circle = next(r.name for r in requirements if r.name not in names)
            raise UsageError(f"the requirement {circle} needs itself in the end")
        done += ready
    return done
