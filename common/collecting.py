"""A problem's checks without a pytest run: what watch mode and the course's own tests work with."""

from __future__ import annotations

from functools import cache

import pytest

from common import loading
from common.catalogue import Problem
from common.checks import Check


class _Collector:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.checks: list[Check] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if not isinstance(item, pytest.Function) or item.get_closest_marker("slow"):
                continue
            arguments = dict(item.callspec.params) if hasattr(item, "callspec") else {}
            if "reference" in item._fixtureinfo.argnames:
                arguments["reference"] = loading.load(self.problem.reference)
            self.checks.append(Check(item.name, item.obj, arguments))


@cache
def checks_of(problem: Problem) -> tuple[Check, ...]:
    """The checks as pytest collects them, in file order; the slow ones left out."""
    collector = _Collector(problem)
    quiet = ["--collect-only", "-p", "no:terminal", "--rootdir", str(problem.folder.parent.parent)]
    code = pytest.main([*quiet, str(problem.folder)], plugins=[collector])
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"collecting the checks of {problem.name} ended with {code!r}")
    return tuple(collector.checks)
