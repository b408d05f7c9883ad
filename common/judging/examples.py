"""The worked examples of a README, run on a solution: what a candidate can see for themselves."""

from __future__ import annotations

import doctest
import io
from types import ModuleType
from typing import Any

from common.course.readme import Readme
from common.judging.records import Example


def try_examples(readme: Readme, module: ModuleType) -> list[Example]:
    """Run each example by itself, with the solution's names in scope."""
    found = []
    for example in readme.examples:
        runner = _FirstFailure()
        test = doctest.DocTestParser().get_doctest(
            example.source, dict(vars(module)), "example", None, 0
        )
        runner.run(test, out=io.StringIO().write)
        found.append(Example(example.caption, not runner.lines, tuple(runner.lines)))
    return found


class _FirstFailure(doctest.DocTestRunner):
    """A runner that keeps its first failure in a few lines and prints nothing."""

    def __init__(self) -> None:
        super().__init__(verbose=False)
        self.lines: list[str] = []

    def report_failure(self, out: Any, test: Any, example: doctest.Example, got: str) -> None:
        self._keep(example, f"expected {example.want.strip()}", f"got      {got.strip()}")

    def report_unexpected_exception(
        self, out: Any, test: Any, example: doctest.Example, exc_info: Any
    ) -> None:
        kind, error, _ = exc_info
        todo = kind is NotImplementedError
        said = (str(error).strip() or "(no message)").splitlines()[0]
        self._keep(example, f"not written yet: {said}" if todo else f"{kind.__name__}: {said}")

    def _keep(self, example: doctest.Example, *lines: str) -> None:
        if not self.lines:
            self.lines = [f">>> {example.source.splitlines()[0]}", *lines]
