"""The verdict on one problem: its checks, what came of them, and the report on it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

from common import catalogue, loading, report
from common.catalogue import Problem, shown
from common.checks import Check
from common.collecting import checks_of
from common.diagnosis import diagnose
from common.results import Outcome, Status


@dataclass
class Verdict:
    """A problem's checks as they come in."""

    problem: Problem
    path: Path
    whose: str
    module: ModuleType | None = None
    failure: str = ""  # why the module could not be loaded
    checks: list[Check] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    expected: int = 0  # checks collected
    complete: bool = False  # none was deselected

    @property
    def passes(self) -> bool:
        return (
            not self.failure
            and bool(self.outcomes)
            and all(o.status == Status.PASSED for o in self.outcomes)
        )

    def lines(self) -> list[str]:
        """The report, diagnosis and all."""
        diagnosis = None
        if any(o.status in (Status.FAILED, Status.ERROR) for o in self.outcomes):
            diagnosis = diagnose(self.problem, self.checks, self.outcomes)
        known = catalogue.problems()
        after = known.index(self.problem) + 1
        own = self.path == self.problem.solution
        return report.problem_report(
            self.problem,
            self.whose,
            self.outcomes,
            diagnosis,
            following=known[after] if own and after < len(known) else None,
            failure=self.failure,
        )


def judge(problem: Problem, path: Path, earlier: loading.Tree = loading.references) -> Verdict:
    """Run all checks of a problem on a file, in this process and without pytest."""
    owner = "yours" if path == problem.solution else "given"
    verdict = Verdict(problem, path, f"{shown(path)} ({owner})", complete=True)
    try:
        verdict.module = loading.load(path, earlier)
    except (loading.LoadFailure, NotImplementedError) as failure:
        verdict.failure = str(failure)
        return verdict
    verdict.checks = [*checks_of(problem)]
    verdict.expected = len(verdict.checks)
    for check in verdict.checks:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            outcome = check.run(verdict.module)
        verdict.outcomes.append(replace(outcome, printed=printed.getvalue()))
    return verdict
