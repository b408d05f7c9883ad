"""How sharp are the checks? Change a reference in small ways and see what goes unnoticed.

A survivor is either killed by a new check or listed in tests/equivalent_mutants.toml with the reason why no
check could tell it from the reference.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from common.course.catalogue import Problem
from common.judging import loading
from common.judging.collecting import checks_of
from common.judging.limited import limited
from common.judging.records import Status
from common.judging.variations import Source

SECONDS = 10  # a mutant that takes longer loops without end


def mutants(source: str) -> Iterator[tuple[str, str]]:
    """Yield (what was changed, mutated source), one change each."""
    normal = ast.unparse(ast.parse(source))
    for variation in Source(source).mutants():
        mutated = ast.unparse(ast.parse(variation.source))
        if mutated != normal:
            before = ast.unparse(variation.within).splitlines()[0].strip()
            yield f"{before}  ->  {_changed_line(normal, mutated).strip()}", mutated


def _changed_line(before: str, after: str) -> str:
    for old, new in zip(before.splitlines(), after.splitlines(), strict=False):
        if old != new:
            return new
    return "(shorter)"


@dataclass(frozen=True)
class Score:
    """What came of all mutants of a problem."""

    problem: Problem
    total: int
    survivors: tuple[str, ...]
    explained: dict[str, str]  # why no check can tell it, by mutant

    @property
    def unexplained(self) -> list[str]:
        return [label for label in self.survivors if label not in self.explained]

    @property
    def outdated(self) -> list[str]:
        """Explained, but no such mutant survives."""
        return [label for label in self.explained if label not in self.survivors]

    @property
    def line(self) -> str:
        equivalent = len(self.survivors) - len(self.unexplained)
        killed = self.total - len(self.survivors)
        return (
            f"{self.problem.name:<34} {self.total:>4} mutants, {killed:>4} killed, "
            f"{equivalent:>3} equivalent, {len(self.unexplained):>3} survive"
        )


def score(problem: Problem) -> Score:
    """Run all mutants of a problem's reference through its checks."""
    found = [*mutants(problem.reference_text)]
    alive = [label for label, source in found if survives(problem, source)]
    return Score(problem, len(found), tuple(alive), _explained(problem))


def _explained(problem: Problem) -> dict[str, str]:
    file = problem.root / "tests" / "equivalent_mutants.toml"
    if not file.is_file():
        return {}
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get(problem.name, [])
    return {entry["mutant"]: entry["because"] for entry in entries}


def survives(problem: Problem, source: str) -> bool:
    """Whether every check passes on this source. One that runs without end does not: a learner would notice."""
    try:
        with limited(SECONDS):
            module = loading.execute(source, problem.reference)
            return all(check.run(module).status == Status.PASSED for check in checks_of(problem))
    except (TimeoutError, loading.LoadFailure, NotImplementedError):
        return False
