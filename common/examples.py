"""The worked examples of a README, run on a solution: what a candidate can see for themselves."""

from __future__ import annotations

import doctest
import io
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from common.catalogue import Problem

_BLOCK = re.compile(r"(?:\*\*(Example \d+\.)\*\*\s*(.*?)\s*)?^```pycon\n(.*?)^```", re.S | re.M)


@dataclass(frozen=True)
class Example:
    """One block of `>>>` lines with what they print, and the sentence above it."""

    caption: str
    source: str


@dataclass(frozen=True)
class Tried:
    """An example after it was run: passed, or the first line that went wrong and how."""

    caption: str
    passes: bool
    lines: tuple[str, ...] = ()


def examples_of(problem: Problem) -> list[Example]:
    """The blocks of the README's section Examples, in order."""
    text = problem.readme_text.partition("\n## Examples\n")[2].partition("\n## ")[0]
    return [
        Example(f"{number or 'Example.'} {' '.join((caption or '').split())}".strip(), source)
        for number, caption, source in _BLOCK.findall(text)
    ]


def try_examples(problem: Problem, module: ModuleType) -> list[Tried]:
    """Run each example by itself, with the solution's names in scope."""
    return [_try(example, module) for example in examples_of(problem)]


def _try(example: Example, module: ModuleType) -> Tried:
    parser, runner = doctest.DocTestParser(), _FirstFailure()
    test = parser.get_doctest(example.source, dict(vars(module)), "example", None, 0)
    runner.run(test, out=io.StringIO().write)
    return Tried(example.caption, not runner.lines, tuple(runner.lines))


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
