"""Running a check on a solution: one function that pytest, watch mode and diagnosis all use."""

from __future__ import annotations

import random
import re
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from common.catalogue import shown
from common.causes import usual_cause
from common.loading import LoadFailure
from common.results import Outcome, Status
from common.testing import trace
from common.testing.asserts import CheckFailed

seed: int = 0  # what every check starts from; tests/flakes.py tries others


class MissingPart(Exception):
    """The solution does not define a name of the contract."""


class Solution:
    """A solution's module as the tests see it; it notes which of its names a check used."""

    def __init__(self, module: ModuleType) -> None:
        self.__dict__.update(_module=module, _used=[])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._used:
            self._used.append(name)
        try:
            return getattr(self._module, name)
        except AttributeError:
            raise MissingPart(name) from None


@dataclass(frozen=True, eq=False)
class Check:
    """A test function with its parameters, without the solution it will run on."""

    name: str
    function: Callable[..., None]
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def run(self, module: ModuleType) -> Outcome:
        """Run on a solution. Nothing the solution does to torch's global state outlasts the call."""
        solution = Solution(module)
        seen = trace.begin()
        status, lines, error = Status.PASSED, (), ""
        with _fresh_state(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self.function(**{**self.arguments, "solution": solution})
            except CheckFailed as failure:
                status, lines = Status.FAILED, tuple(failure.lines())
            except MissingPart as missing:
                status, error = Status.ERROR, f"MissingPart: {missing}"
                lines = (
                    f"{shown(Path(module.__file__ or '?'))} does not define `{missing}`.",
                    "The README's Build section lists every name that the tests use, with its signature.",
                )
            except LoadFailure as failure:
                status, error, lines = Status.ERROR, str(failure), (str(failure),)
            except NotImplementedError as todo:
                # torch raises it too, where a device lacks an operation.
                ours = not str(todo) or str(todo).startswith("problem ")
                status = Status.TODO if ours else Status.ERROR
                lines = (
                    (f"not written yet: {todo or 'a part of this problem'}",)
                    if ours
                    else tuple(explain(todo, module))
                )
                error = f"NotImplementedError: {todo}"
            except (Exception, SystemExit) as raised:
                status, lines = Status.ERROR, tuple(explain(raised, module))
                error = _comparable(raised)
        return Outcome(self.name, status, lines, error, tuple(solution._used), seen)


def explain(error: BaseException, module: ModuleType) -> list[str]:
    """An exception in a few lines: the learner's own frames only, or the call that was refused."""
    message = (str(error).strip() or "(no message)").splitlines()
    message = [line for line in message if line.strip()][:3]
    cause = [sentence] if (sentence := usual_cause(error)) else []
    trace = traceback.extract_tb(error.__traceback__)
    frames = [f for f in trace if _is_solution(f.filename)]
    if frames:
        last = frames[-1]
        path = module.__file__ if last.filename.startswith("<") else last.filename
        where = f"{shown(Path(path or last.filename))}, line {last.lineno}, in {last.name}:"
        code = [f"    {last.line}"] if last.line else []
        return [f"{type(error).__name__} in {where}", *code, *message, *cause]
    # Refused before a line of theirs ran: a wrong signature, something that is not callable.
    call = next((f for f in reversed(trace) if Path(f.filename).name.startswith("test_")), None)
    called = ["raised by this line of the test:", f"    {call.line}"] if call and call.line else []
    return [f"{type(error).__name__}: {message[0]}", *message[1:], *called, *cause]


def _is_solution(filename: str) -> bool:
    return (
        filename.startswith("<solution_")
        or Path(filename).name == "solution.py"
        or filename in _extra_files
    )


_extra_files: set[str] = set()


def also_learners(path: Path) -> None:
    """Count this file as the learner's own when exceptions are explained (`--solution FILE`)."""
    _extra_files.add(str(path))


def _comparable(error: BaseException) -> str:
    """An exception's type and message without what differs from run to run."""
    text = re.sub(r"0x[0-9a-f]+", "0x", str(error))
    text = re.sub(r"solution_[a-z0-9_]+?_\d+\b", "solution", text)
    return f"{type(error).__name__}: {text}"


class _fresh_state:
    """Seed, grad mode and default dtype as every check expects them, before and after."""

    def __enter__(self) -> None:
        self.dtype, self.grad = torch.get_default_dtype(), torch.is_grad_enabled()
        self.threads = torch.get_num_threads()
        torch.manual_seed(seed)
        random.seed(seed)

    def __exit__(self, *_: object) -> None:
        torch.set_default_dtype(self.dtype)
        torch.set_grad_enabled(self.grad)
        if (
            torch.are_deterministic_algorithms_enabled()
        ):  # asked first: the call imports the compiler
            torch.use_deterministic_algorithms(False)
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
