"""A check: a test function with its parameters, run on a solution."""

from __future__ import annotations

import bdb
import contextlib
import inspect
import io
import os
import pdb
import random
import sys
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import torch

from common.errors import CourseError
from common.judging import explaining
from common.judging.loading import LoadFailure
from common.judging.records import MORE_PRINTED, Outcome, Status
from common.testing.asserts import CheckFailed
from common.testing.axes import USUAL, name_sizes
from common.testing.context import current, surroundings

_MOST_PRINTED = 20_000  # characters of what a check's run printed that are kept
_LONGEST_FACT = 800  # characters; an error's message may list whatever its author likes


class MissingPart(Exception):
    """The solution does not define a name of the contract."""


class NoTerminal(Exception):
    """breakpoint() was called where nobody can type."""


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

    def run(self, module: ModuleType, *, interactive: bool = False) -> Outcome:
        """Run on a solution. Nothing the solution does to torch's global state outlasts the call."""
        solution = Solution(module)
        said: dict[str, Any] = {"status": Status.PASSED}
        with surroundings() as around, _fresh_state(around.seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with _captured(interactive) as printed:
                name_sizes(**getattr(self.function, "__globals__", {}).get("AXES", USUAL))
                try:
                    self.function(**{**self.arguments, "solution": solution})
                except CheckFailed as failure:
                    meant = failure.__cause__ and explaining.explain(failure.__cause__, module)[1]
                    because = str(meant or failure.because)
                    if failure.instead:
                        refused = failure.expected != "no error"
                        where = explaining.raised_instead(failure.instead, module, refused=refused)
                        because = f"{where} {because}"
                    said = {
                        "status": Status.FAILED, "facts": _cut(failure.facts()), "because": because.strip(),
                        "inside": failure.inside,
                    }  # fmt: skip
                except (
                    bdb.BdbQuit
                ):  # whoever leaves the debugger does not want to meet it in the next check
                    raise KeyboardInterrupt from None
                except (Exception, SystemExit) as raised:
                    said = _raised(raised, module)
        return Outcome(
            self.name,
            parts=tuple(solution._used),
            printed=_end_of(printed.getvalue()),
            experiment=" ".join((self.function.__doc__ or "").split()),
            seen=tuple(around.seen),
            sizes=dict(around.axes),
            **said,
        )


def _raised(error: BaseException, module: ModuleType) -> dict[str, Any]:
    """What an outcome says of an exception."""
    if isinstance(error, MissingPart):
        facts, because = explaining.missing(str(error), module)
    elif isinstance(error, NotImplementedError) and (
        not str(error) or str(error).startswith("problem ")  # torch raises it too, of its own
    ):
        return {
            "status": Status.TODO,
            "facts": (f"not written yet: {error or 'a part of this problem'}",),
        }
    elif isinstance(error, LoadFailure):
        facts, because = (str(error),), ""
    elif isinstance(error, NoTerminal):
        facts, because = explaining.no_terminal(error), ""
    else:
        facts, because = explaining.explain(error, module)
    return {
        "status": Status.ERROR,
        "facts": _cut(facts),
        "because": because,
        "error": explaining.comparable(error),
    }


def _cut(facts: Iterable[str]) -> tuple[str, ...]:
    return tuple(f if len(f) <= _LONGEST_FACT else f"{f[:_LONGEST_FACT]} ..." for f in facts)


def _end_of(printed: str) -> str:
    """What was printed, or the end of it: a verdict crosses a pipe, and a report shows three lines."""
    if len(printed) <= _MOST_PRINTED:
        return printed
    return f"{MORE_PRINTED}\n{printed[-_MOST_PRINTED:]}"


@contextlib.contextmanager
def _captured(interactive: bool) -> Generator[io.StringIO]:
    """What the block prints, unless a debugger takes over: then the terminal is as it was."""
    printed, hook = io.StringIO(), sys.breakpointhook

    def debug(*args: Any, **options: Any) -> Any:
        if not interactive:
            raise NoTerminal
        redirected.close()
        frame = inspect.currentframe()
        if "PYTHONBREAKPOINT" in os.environ or frame is None:
            return hook(*args, **options)
        return pdb.Pdb(nosigint=True).set_trace(frame.f_back)

    hooked: Any = sys
    hooked.breakpointhook = debug
    with contextlib.ExitStack() as redirected:
        redirected.enter_context(contextlib.redirect_stdout(printed))
        try:
            yield printed
        finally:
            hooked.breakpointhook = hook


@contextlib.contextmanager
def _fresh_state(seed: int) -> Generator[None]:
    """Seed, grad mode and default dtype as every check expects them, before and after."""
    dtype, grad, threads = (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.get_num_threads(),
    )
    seed_all = torch.default_generator if current().device.type == "cpu" else torch
    seed_all.manual_seed(
        seed
    )  # torch's own looks for every kind of device, at each of a hundred checks
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        # Asked first: the call imports the compiler.
        if torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(False)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def device_problem(device: str) -> str:
    """Why tensors cannot live on that device here; empty when they can."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        return str(error).splitlines()[0]
    return ""


def require_device(device: str) -> None:
    """Raise CourseError if there is no such device."""
    if why := device_problem(device):
        raise CourseError(f"--device {device}: {why}")
