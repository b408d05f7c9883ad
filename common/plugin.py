"""The pytest plugin: whose solution is tested, and what a learner reads when it fails.

Loaded through the pytest11 entry point, so it is there from any folder. torch is imported only once a
problem's tests are about to run.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Generator
from dataclasses import replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from common import catalogue, loading
from common.catalogue import Problem
from common.choice import Run
from common.results import Status

if TYPE_CHECKING:
    from common.checks import Check

RUN = pytest.StashKey["Run"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("gpt2", "problems of this course")
    group.addoption("--reference", action="store_true", help="test the reference solutions")
    group.addoption("--solution", metavar="FILE", help="test this file (one problem only)")
    group.addoption("--solutions", metavar="DIR", help="test DIR/NN-slug/solution.py")
    group.addoption(
        "--mine",
        action="store_true",
        help="take earlier parts from the solutions under test, not the references",
    )
    group.addoption("--device", default="cpu", help="where tensors live: cpu (default), cuda, mps")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    _mend_arguments(config)
    run = Run(config)
    config.stash[RUN] = run
    if run.teaching:
        config.option.tbstyle = "no"
        config.option.reportchars = ""
        config.option.disable_warnings = True
        if config.option.verbose == 0:
            config.option.verbose = -1


def _mend_arguments(config: pytest.Config) -> None:
    """Undo what a path after --solution or --solutions does to pytest.

    pytest looks for its root, and so for our settings, before it knows these options, and takes
    their values for test paths.
    """
    if config.rootpath == catalogue.ROOT or not (
        config.getoption("--solution") or config.getoption("--solutions")
    ):
        return
    config.option.importmode = "importlib"
    for plugin in ("lfplugin", "nfplugin"):  # these two write a cache beside the other path
        config.pluginmanager.set_blocked(plugin)
    here = config.invocation_params.dir
    if not config.option.file_or_dir and catalogue.holding(here) is None:
        config.args = [str(catalogue.PROBLEMS)]


def _problem_of(item: pytest.Item) -> Problem | None:
    return catalogue.holding(item.path)


def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    run = config.stash[RUN]
    found = {p.name: p for item in items if (p := _problem_of(item))}
    if run.file and len(found) > 1:
        raise pytest.UsageError(
            f"--solution tests one file against one problem, but {len(found)} problems were chosen: "
            f"name one, as in `uv run pytest problems/{next(iter(found))} --solution {run.file}`"
        )
    if run.file and found and run.file.is_file():
        from common.checks import also_learners

        also_learners(run.file)
    for problem in found.values():
        run.verdict(problem).expected = sum(_problem_of(item) == problem for item in items)
        run.verdict(problem).complete = True
    if found:
        _prepare_torch(run.device)


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        if (problem := _problem_of(item)) and item.config.stash[RUN].verdicts.get(problem.name):
            run = item.config.stash[RUN]
            run.verdicts[problem.name].complete = False


def _prepare_torch(device: str) -> None:
    import torch

    from common import light_torch
    from common.testing import modules

    light_torch.install()
    gc.freeze()  # torch's own objects live as long as the process: no need to visit them again
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # tensors this small are slower on two
    try:
        modules.device = torch.device(device)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise pytest.UsageError(f"--device {device}: {str(error).splitlines()[0]}") from None


@pytest.fixture
def solution(request: pytest.FixtureRequest) -> Any:
    """The solution under test; the options say which file that is."""
    problem = _problem_of(request.node)
    if problem is None:
        raise pytest.UsageError("the fixture `solution` belongs to the tests in problems/")
    return request.config.stash[RUN].solution(problem)


@pytest.fixture
def reference(request: pytest.FixtureRequest) -> ModuleType:
    """The problem's reference solution, built on references only."""
    problem = _problem_of(request.node)
    assert problem
    return request.config.stash[RUN].reference(problem)


def check_of(item: pytest.Function) -> Check:
    """The item as a check that runs on any solution."""
    from common.checks import Check

    names = item._fixtureinfo.argnames
    arguments = {n: item.funcargs[n] for n in names if n != "solution" and n in item.funcargs}
    return Check(item.name, item.obj, arguments)


class _Failed(Exception):
    """A check failed; its outcome is already recorded."""


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object:
    problem = _problem_of(pyfuncitem)
    if problem is None or "solution" not in pyfuncitem.funcargs:
        return None
    run = pyfuncitem.config.stash[RUN]
    verdict = run.verdict(problem)
    check = check_of(pyfuncitem)
    module = pyfuncitem.funcargs["solution"]
    assert isinstance(module, ModuleType)
    outcome = check.run(module)
    verdict.checks.append(check)
    verdict.outcomes.append(outcome)
    if outcome.status != Status.PASSED:
        raise _Failed("\n".join([f"{verdict.whose}: {outcome.sentence}", *outcome.lines]))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    report = yield
    problem = _problem_of(item)
    if problem is None or not report.failed or call.excinfo is None:
        return report
    run = item.config.stash[RUN]
    ours = call.excinfo.errisinstance((_Failed, loading.LoadFailure, NotImplementedError))
    if ours and item.config.option.tbstyle in ("no", "auto"):
        report.longrepr = str(call.excinfo.value)
    if report.when == "call" and report.capstdout and run.verdicts[problem.name].outcomes:
        outcomes = run.verdicts[problem.name].outcomes
        outcomes[-1] = replace(outcomes[-1], printed=report.capstdout)
    elif report.when == "setup" and ours:
        report.when = "call"  # a file that does not load is a failure, not an error of the tests
    return report


def pytest_report_teststatus(
    report: pytest.TestReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    if (
        config.stash[RUN].teaching
        and config.option.verbose < 1
        and report.when in ("call", "setup")
    ):
        if report.passed and report.when == "setup":
            return "", "", ""
        return report.outcome, "", ""
    return None


def pytest_sessionfinish(session: pytest.Session) -> None:
    from common import progress

    run = session.config.stash[RUN]
    for verdict in run.verdicts.values():
        whole = verdict.complete and (verdict.failure or len(verdict.outcomes) == verdict.expected)
        if (
            whole
            and verdict.path == verdict.problem.solution
            and not run.mine
            and run.device == "cpu"
        ):
            progress.record(verdict.problem, verdict.outcomes, loads=not verdict.failure)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    run = config.stash[RUN]
    if not run.teaching:
        return
    if not run.verdicts:
        if terminalreporter.stats.get("error"):
            for report in terminalreporter.stats["error"]:
                terminalreporter.write_line(str(report.longrepr))
        else:
            terminalreporter.write_line(
                "No problem's tests were chosen: name a folder, as in problems/01-embeddings."
            )
        return
    for verdict in run.verdicts.values():
        for number, line in enumerate(verdict.lines()):
            good = number == 1 and verdict.passes
            colour = (
                {"green": True}
                if good
                else {"bold": True}
                if number == 0
                else {"red": line.startswith("FAILED")}
            )
            terminalreporter.write_line(line, **colour)
        terminalreporter.write_line("")
