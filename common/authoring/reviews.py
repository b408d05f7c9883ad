"""What a learner would read for every small change of a reference, so that an author can skim it for what is false.

A sentence that accuses of what the change does not do is noted in tests/false_reports.toml; a test keeps it from
being said again.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

from common.authoring.mutants import SECONDS, mutants
from common.course.catalogue import Problem
from common.judging.limited import limited
from common.judging.records import Ended, Request, Verdict
from common.judging.report import report
from common.judging.runner import run


@dataclass(frozen=True)
class Reviewed:
    """A report, and the changes that lead to it."""

    lines: tuple[str, ...]
    changes: tuple[str, ...]


def read(problem: Problem, source: str) -> list[str]:
    """The report on a changed reference, from its second line on; empty if every check passes."""
    request = Request(problem.name, problem.solution, source=source)
    try:
        with limited(SECONDS):
            verdict = run(request)
    except TimeoutError:
        verdict = Verdict(request, ended=Ended.TIMEOUT)
    return [] if verdict.passes else report(verdict)[1:]


def reviewed(problem: Problem) -> Iterator[Reviewed]:
    """The different reports on all mutants of a problem's reference; those of most changes first."""
    found: dict[tuple[str, ...], list[str]] = {}
    for label, source in mutants(problem.reference_text):
        if lines := read(problem, source):
            found.setdefault(tuple(lines), []).append(label)
    for lines, changes in sorted(found.items(), key=lambda item: -len(item[1])):
        yield Reviewed(lines, tuple(changes))


@dataclass(frozen=True)
class FalseReport:
    """Something that was once said of a change and is not true of it."""

    mutant: str
    says: str


def false_reports(problem: Problem) -> list[FalseReport]:
    """What has been noted for a problem."""
    file = problem.root / "tests" / "false_reports.toml"
    if not file.is_file():
        return []
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get(problem.name, [])
    return [FalseReport(entry["mutant"], entry["says"]) for entry in entries]
