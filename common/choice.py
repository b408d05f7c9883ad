"""Whose files a pytest session tests: what the options say, and the verdicts that come of it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from common import catalogue, loading
from common.catalogue import Problem, shown

if TYPE_CHECKING:
    from common.verdict import Verdict


class Run:
    """Which files a session tests, and what came of it."""

    def __init__(self, config: pytest.Config) -> None:
        option = config.getoption
        chosen = [n for n in ("--reference", "--solution", "--solutions") if option(n)]
        if len(chosen) > 1:
            raise pytest.UsageError(f"{' and '.join(chosen)} exclude each other: give one of them")
        self.file = (
            Path(config.invocation_params.dir, option("--solution"))
            if option("--solution")
            else None
        )
        folder = (
            Path(config.invocation_params.dir, option("--solutions"))
            if option("--solutions")
            else None
        )
        if folder and not folder.is_dir():
            raise pytest.UsageError(f"--solutions {folder}: there is no such folder")
        self.device = option("--device")
        self.tree = loading.learners
        self.owner = "yours"
        if option("--reference"):
            self.tree, self.owner = loading.references, "reference"
        elif folder:
            self.tree, self.owner = loading.folder_tree(folder.resolve()), "submitted"
        self.earlier = self.tree if option("--mine") else loading.references
        self.mine = bool(option("--mine"))
        self.verdicts: dict[str, Verdict] = {}
        self.references: dict[str, ModuleType] = {}
        # Short reports replace pytest's own, unless the caller asked pytest for something.
        self.teaching = (
            _only_problems(config)
            and getattr(config.option, "tbstyle", None) == "auto"
            and not config.option.collectonly
            and not getattr(config.option, "numprocesses", None)
            and not hasattr(config, "workerinput")
        )

    def verdict(self, problem: Problem) -> Verdict:
        from common.verdict import Verdict

        if problem.name not in self.verdicts:
            path = self.file or self.tree(problem)
            owner = "given" if self.file else self.owner
            earlier = ", earlier parts from the same place" if self.mine else ""
            self.verdicts[problem.name] = Verdict(
                problem, path, f"{shown(path)} ({owner}{earlier})"
            )
        return self.verdicts[problem.name]

    def solution(self, problem: Problem) -> ModuleType:
        """The module under test.

        Raises:
            LoadFailure: it cannot be executed.
        """
        verdict = self.verdict(problem)
        if verdict.failure:
            raise loading.LoadFailure(verdict.failure, path=verdict.path)
        if verdict.module is None:
            try:
                verdict.module = loading.load(verdict.path, self.earlier)
            except (loading.LoadFailure, NotImplementedError) as failure:
                verdict.failure = str(failure)
                raise
        return verdict.module

    def reference(self, problem: Problem) -> ModuleType:
        if problem.name not in self.references:
            self.references[problem.name] = loading.load(problem.reference)
        return self.references[problem.name]


def _only_problems(config: pytest.Config) -> bool:
    for arg in config.args:
        path = Path(config.invocation_params.dir, arg.split("::")[0]).resolve()
        if catalogue.holding(path) is None and path != catalogue.PROBLEMS:
            return False
    return bool(config.args)
