"""A problem's checks without a pytest run: what watch mode and the course's own tests work with."""

from __future__ import annotations

import contextlib
import io
from functools import cache

import pytest

from common import loading
from common.catalogue import ROOT, Problem
from common.checks import Check
from common.errors import CourseError


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


def checks_of(problem: Problem) -> tuple[Check, ...]:
    """The checks as pytest collects them, in file order; the slow ones left out.

    Remembered for as long as the test file stays as it is.
    """
    return _collected(problem, problem.tests.read_bytes() if problem.tests.is_file() else b"")


@cache
def _collected(problem: Problem, _: bytes) -> tuple[Check, ...]:
    collector = _Collector(problem)
    arguments = ["--collect-only", f"--rootdir={ROOT}", "-p", "no:warnings", str(problem.folder)]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main(arguments, plugins=[collector])
    if code != pytest.ExitCode.OK:
        raise CourseError(f"the checks of {problem.name} cannot be collected:\n{said.getvalue()}")
    return tuple(collector.checks)
