"""A problem's checks, as pytest collects them."""

from __future__ import annotations

import contextlib
import io
import sys
from functools import cache

import pytest

from common.course.catalogue import ROOT, Problem
from common.errors import CourseError
from common.files import content
from common.judging import loading
from common.judging.checks import Check

_OPTIONS = ("--collect-only", "--import-mode=importlib", "--noconftest", f"--rootdir={ROOT}",
            "-p", "no:gpt2", "-p", "no:warnings", "-p", "no:cacheprovider", "-p", "no:xdist")  # fmt: skip


def check_of(item: pytest.Function, problem: Problem) -> Check:
    """A collected test function as a check that runs on any solution."""
    arguments = dict(item.callspec.params) if hasattr(item, "callspec") else {}
    if "reference" in item.fixturenames:
        arguments["reference"] = loading.load(problem.reference)
    return Check(item.name, item.obj, arguments)


def checks_of(problem: Problem, *, slow: bool = False) -> tuple[Check, ...]:
    """The checks in file order, remembered for as long as the test files stay as they are.

    Args:
        slow: with those that are marked slow.

    Raises:
        CourseError: the test files are missing or cannot be collected.
    """
    files = problem.tests
    if not files:
        place = f"problems/{problem.name}"
        raise CourseError(f"{place} has no tests: `git checkout {place}` brings them back")
    found = _collected(
        problem, tuple((str(f), content(f)) for f in files), content(problem.reference)
    )
    return tuple(check for check, is_slow in found if slow or not is_slow)


class _Collector:
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.checks: list[tuple[Check, bool]] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if isinstance(item, pytest.Function):
                slow = item.get_closest_marker("slow") is not None
                self.checks.append((check_of(item, self.problem), slow))


@cache
def _collected(
    problem: Problem, files: tuple[tuple[str, bytes], ...], _: bytes
) -> tuple[tuple[Check, bool], ...]:
    paths = {path for path, _ in files}
    # pytest would take a module that it has imported before, however its file reads by now.
    for name, module in [*sys.modules.items()]:
        if vars(module).get("__file__") in paths:
            del sys.modules[name]
    collector = _Collector(problem)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        code = pytest.main([*_OPTIONS, *(path for path, _ in files)], plugins=[collector])
    if code != pytest.ExitCode.OK:
        raise CourseError(f"the checks of {problem.name} cannot be collected:\n{said.getvalue()}")
    return tuple(collector.checks)
