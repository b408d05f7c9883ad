"""The pytest plugin: whose solution is tested, and what a learner reads when it fails.

Loaded through the pytest11 entry point, so it is there from any folder. torch is imported only once a
problem's tests are about to run.
"""

from __future__ import annotations

import gc
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from common.course import catalogue
from common.course.catalogue import Problem
from common.judging.records import Outcome, Request, Status, Verdict

RUN = pytest.StashKey["Session"]()


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
    session = Session(config)
    config.stash[RUN] = session
    if session.teaching:
        config.option.tbstyle = "no"
        config.option.reportchars = ""
        config.option.disable_warnings = True
        if config.option.verbose == 0:
            config.option.verbose = -1


def _mend_arguments(config: pytest.Config) -> None:
    """Undo what a path after --solution or --solutions does to pytest.

    pytest looks for its root, and so for our settings, before it knows these options, and takes
    their values for test paths. A problem outside of the checkout lies below another root, too.
    """
    if config.rootpath == catalogue.ROOT:
        return
    here = config.invocation_params.dir
    given = config.getoption("--solution") or config.getoption("--solutions")
    places = [Path(here, arg.split("::")[0]) for arg in config.option.file_or_dir or ["."]]
    if not given and not any(map(catalogue.holding, places)):
        return
    config.option.importmode = "importlib"
    for plugin in ("lfplugin", "nfplugin"):  # these two write a cache beside the other path
        config.pluginmanager.set_blocked(plugin)
    if not config.option.file_or_dir and catalogue.holding(here) is None:
        config.args = [str(catalogue.PROBLEMS)]


class Session:
    """Which files a session tests, and the verdicts that come of it."""

    def __init__(self, config: pytest.Config) -> None:
        option = config.getoption
        given = [n for n in ("--reference", "--solution", "--solutions") if option(n)]
        if len(given) > 1:
            raise pytest.UsageError(f"{' and '.join(given)} exclude each other: give one of them")
        self.file = self._path(config, "--solution")
        self.folder = self._path(config, "--solutions")
        if self.folder and not self.folder.is_dir():
            raise pytest.UsageError(f"--solutions {self.folder}: there is no such folder")
        self.reference, self.mine = option("--reference"), option("--mine")
        self.device = option("--device")
        self.interactive = option("capture") == "no"
        self.verdicts: dict[str, Verdict] = {}
        self.names: dict[str, list[str]] = {}  # the checks that were collected, by problem
        self.shared = hasattr(config, "workerinput")
        workers = self.shared or getattr(config.option, "numprocesses", None)
        # Short reports replace pytest's own, unless the caller asked pytest for something.
        self.teaching = (
            _only_problems(config)
            and getattr(config.option, "tbstyle", None) == "auto"
            and not config.option.collectonly
            and not workers
        )

    @staticmethod
    def _path(config: pytest.Config, option: str) -> Path | None:
        value = config.getoption(option)
        return Path(config.invocation_params.dir, value).resolve() if value else None

    def request(self, problem: Problem) -> Request:
        """What is asked of the runner for a problem."""
        if self.file:
            file, owner, tree = self.file, "given", str(self.file.parent.parent)
        elif self.reference:
            file, owner, tree = problem.reference, "reference", "references"
        elif self.folder:
            file, owner, tree = (
                self.folder / problem.name / "solution.py",
                "submitted",
                str(self.folder),
            )
        else:
            file, owner, tree = problem.solution, "yours", "learners"
        return Request(
            problem.name,
            file,
            owner,
            earlier=tree if self.mine else "references",
            checks=tuple(self.names[problem.name]),
            device=self.device,
            interactive=self.interactive,
        )

    def outcome(self, problem: Problem, name: str) -> Outcome | str:
        """What came of a check, or why the file does not load. The first one asked for runs them all."""
        from common.judging.runner import run

        if self.shared:  # several processes share the checks: each runs its own alone
            verdict = run(replace(self.request(problem), checks=(name,)), budget=0)
        else:
            if problem.name not in self.verdicts:
                self.verdicts[problem.name] = run(self.request(problem))
            verdict = self.verdicts[problem.name]
        return verdict.failure or next(o for o in verdict.outcomes if o.name == name)


def _only_problems(config: pytest.Config) -> bool:
    for arg in config.args:
        path = Path(config.invocation_params.dir, arg.split("::")[0]).resolve()
        if catalogue.holding(path) is None and path != catalogue.PROBLEMS:
            return False
    return bool(config.args)


class CheckItem(pytest.Item):
    """A check as pytest lists it: what it shows is the outcome that the runner has."""

    def __init__(self, *, problem: Problem, function: pytest.Function, **options: Any) -> None:
        super().__init__(**options)
        self.problem, self.function = problem, function
        self.own_markers.extend(function.own_markers)

    def runtest(self) -> None:
        found = self.config.stash[RUN].outcome(self.problem, self.name)
        if isinstance(found, str):
            raise _Failed(found)
        if found.status != Status.PASSED:
            said = [found.sentence, *found.facts, found.because]
            raise _Failed("\n".join(line for line in said if line))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, _Failed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Any, int | None, str]:
        return self.function.reportinfo()


class _Failed(Exception):
    """A check that failed; its text is the report."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    session = config.stash[RUN]
    for number, item in enumerate(items):
        problem = catalogue.holding(item.path)
        if problem and isinstance(item, pytest.Function) and "solution" in item.fixturenames:
            session.names.setdefault(problem.name, []).append(item.name)
            assert item.parent
            items[number] = CheckItem.from_parent(
                item.parent, name=item.name, problem=problem, function=item
            )
    if session.file and len(session.names) > 1:
        first = next(iter(session.names))
        raise pytest.UsageError(
            f"--solution tests one file against one problem, but {len(session.names)} problems were chosen: "
            f"name one, as in `pytest problems/{first} --solution {session.file}`"
        )
    if session.names:
        _prepare_torch(session.device)


def _prepare_torch(device: str) -> None:
    import torch

    from common import internals
    from common.judging.checks import device_problem

    internals.put_off_the_compiler()
    gc.freeze()  # torch's own objects live as long as the process: no need to visit them again
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)  # tensors this small are slower on two
    if why := device_problem(device):
        raise pytest.UsageError(f"--device {device}: {why}")


def pytest_report_teststatus(
    report: pytest.TestReport, config: pytest.Config
) -> tuple[str, str, str] | None:
    """No dots and letters where the report says it all."""
    quiet = config.stash[RUN].teaching and config.option.verbose < 1
    if not quiet or report.when == "teardown":
        return None
    return ("", "", "") if report.when == "setup" and report.passed else (report.outcome, "", "")


def pytest_sessionfinish(session: pytest.Session) -> None:
    from common.learner import progress

    for verdict in session.config.stash[RUN].verdicts.values():
        progress.record(verdict)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    session = config.stash[RUN]
    if not session.teaching:
        return
    if not session.verdicts:
        if terminalreporter.stats.get("error"):
            for report in terminalreporter.stats["error"]:
                terminalreporter.write_line(str(report.longrepr))
        else:
            terminalreporter.write_line(
                "No problem's tests were chosen: name a folder, as in problems/01-embeddings."
            )
        return
    from common.judging.report import report as lines_of

    for verdict in session.verdicts.values():
        for number, line in enumerate(lines_of(verdict)):
            colour = {"green": True} if number == 1 and verdict.passes else {"bold": number == 0}
            terminalreporter.write_line(line, **colour, red=line.startswith("FAILED"))
        terminalreporter.write_line("")


@pytest.fixture
def solution() -> None:
    """The solution under test; a check gets it from the runner."""


@pytest.fixture
def reference() -> None:
    """The problem's reference solution; a check gets it from the runner."""
