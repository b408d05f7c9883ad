"""From outcomes to points: pure, exact, and the same on every machine."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from common.catalogue import Problem, find

from common.errors import UsageError

DEFAULT = Path(__file__).with_name("weights.toml")


@dataclass(frozen=True)
class Weights:
    """Points by problem, and weights by check."""

    problems: Mapping[str, Fraction]  # by the problem's name; "default"
    checks: Mapping[str, Mapping[str, Fraction]]  # by the problem's name and the test's

    def points(self, problem: Problem) -> Fraction:
        """What the whole problem is worth."""
        return self.problems.get(problem.name, self.problems["default"])

    def shares(self, problem: Problem, names: Sequence[str]) -> dict[str, Fraction]:
        """Each check's share of the problem's points; they add up to 1.

        Raises:
            UsageError: the weights name a test that the problem does not have, or leave none above 0.
        """
        functions = Counter(_function(name) for name in names)
        given = self.checks.get(problem.name, {})
        if unknown := sorted(given.keys() - functions.keys()):
            raise UsageError(
                f"the weights of {problem.name} name {unknown[0]}, which it does not have"
            )
        weight = {f: given.get(f, Fraction(1)) for f in functions}
        total = sum(weight.values(), Fraction())
        if not total:
            raise UsageError(f"the weights leave no check of {problem.name} above 0")
        return {n: weight[_function(n)] / functions[_function(n)] / total for n in names}


def read_weights(path: Path | None = None) -> Weights:
    """The default weights, changed by what a file says.

    Raises:
        UsageError: the file is missing, is not TOML, or holds something that is no weight.
    """
    points: dict[str, Fraction] = {}
    checks: dict[str, dict[str, Fraction]] = {}
    for each in filter(None, (DEFAULT, path)):
        try:
            data = tomllib.loads(each.read_text(encoding="utf-8"))
        except OSError as error:
            raise UsageError(f"{each}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{each}: {error}") from None
        if odd := sorted(data.keys() - {"problems", "checks"}):
            raise UsageError(f"{each}: there is [problems] and [checks], no {odd[0]}")
        for key, value in data.get("problems", {}).items():
            name = key if key == "default" else find(key).name
            points[name] = _weight(value, f"{each}: problems.{key}")
        for key, tests in data.get("checks", {}).items():
            if not isinstance(tests, dict):
                raise UsageError(f"{each}: checks.{key} should be a table of tests")
            own = checks.setdefault(find(key).name, {})
            own |= {t: _weight(w, f"{each}: checks.{key}.{t}") for t, w in tests.items()}
    return Weights(points, checks)


def earned(
    shares: Mapping[str, Fraction], passed: Collection[str], free: Collection[str]
) -> Fraction:
    """The part of a problem's points that the passed checks give.

    Args:
        free: checks that the untouched skeleton passes. Who passes nothing else has done nothing.
    """
    passed = set(passed) & shares.keys()
    if passed <= set(free):
        return Fraction()
    return sum((shares[name] for name in passed), Fraction())


def rounded(points: Fraction) -> float:
    """To hundredths, halves up."""
    return int(points * 100 + Fraction(1, 2)) / 100


def _function(name: str) -> str:
    return name.partition("[")[0]


def _weight(value: Any, where: str) -> Fraction:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e6:
        raise UsageError(f"{where} should be a number from 0 on, not {value!r}")
    return Fraction(str(value))
