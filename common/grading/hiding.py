"""Before a student's code is let in: put the harness out of its reach, and note how things were.

The student's code and the checks share a process, so this is a matter of making tampering without
effect or visible, not impossible; GRADING.md says what remains.
"""

from __future__ import annotations

import _thread
import ctypes
import importlib
import inspect
import linecache
import sys
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from common import catalogue, loading
from common.catalogue import Problem
from common.checks import Check
from common.config import GPT2Config
from common.grading.watching import Spaces
from common.loading import load
from common.tokenizer import gpt2_tokenizer

_HARNESS = ("common", "pytest", "_pytest", "pluggy", "xdist", "hypothesis", "faulthandler")
_PRIVATE = ("torch", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.utils", "math",
            "random", "copy", "inspect", "re", "operator", "contextlib", "warnings", "zlib")  # fmt: skip
_SUBCLASSES_AT = 360  # offset in PyTypeObject; only used where it proves right


class TakenFromReference(ImportError):
    """A submission asked for the reference of the very problem it answers, or of a later one."""


def facade(problem: Problem, report: Callable[[str], None]) -> ModuleType:
    """What `import common` gives a student: the three names of the contract, and nothing behind them."""
    earlier: dict[str, ModuleType] = {}
    for each in catalogue.problems():
        # Copies of their own: what a student does to them does not reach the checks' references.
        if not each.is_interview and not problem.is_interview and each.key < problem.key:
            earlier[each.name] = load(each.reference, lambda p: p.reference)
            if problem.key == "09":  # the shared config is its answer
                earlier[each.name].__dict__.pop("GPT2Config", None)

    def part(number: int | str) -> ModuleType:
        """The solution of an earlier problem: the reference's."""
        wanted = catalogue.find(number)
        if wanted.name not in earlier:
            report(f"asks for problem({wanted.key}), which is not an earlier one")
            raise TakenFromReference(
                f"problem({wanted.key}) is not there while {problem.key} is graded: only earlier problems are"
            )
        return earlier[wanted.name]

    part.__name__ = part.__qualname__ = "problem"
    module = ModuleType("common")
    module.__dict__.update(problem=part, gpt2_tokenizer=gpt2_tokenizer)
    if problem.key != "09":  # whose answer it is
        module.__dict__["GPT2Config"] = GPT2Config
    return module


def _no_thread(report: Callable[[str], None]) -> Callable[..., None]:
    def start_new_thread(*_: object, **__: object) -> None:
        report("starts a thread")
        raise RuntimeError("a graded solution may not start threads")

    return start_new_thread


def hide(
    problem: Problem, checks: tuple[Check, ...], spaces: Spaces, report: Callable[[str], None]
) -> None:
    """Take the harness out of sys.modules, and give it copies of the libraries that it compares with."""
    unlist(own_classes(problem, checks))
    for module in (_thread, threading):
        for name in ("start_new_thread", "start_new", "_start_new_thread"):
            if hasattr(module, name):
                setattr(module, name, _no_thread(report))
    shown = facade(problem, report)
    _privately(spaces)
    _without_files(spaces)
    for name in list(sys.modules):
        if name.split(".")[0] in _HARNESS or name.startswith(("solution_", "problems", "test_")):
            del sys.modules[name]
    for check in checks:
        sys.modules.pop(check.function.__module__, None)
    sys.modules["__main__"] = ModuleType("__main__")
    sys.modules["common"] = shown
    for name, value in (("config", "GPT2Config"), ("tokenizer", "gpt2_tokenizer")):
        if hasattr(shown, value):
            part = sys.modules[f"common.{name}"] = ModuleType(f"common.{name}")
            setattr(part, value, getattr(shown, value))


def unlist(classes: list[type]) -> None:
    """Take classes out of their bases' `__subclasses__()`, where a student would look for a reference."""
    for kind in classes:
        for base in kind.__bases__:
            if kind not in type.__subclasses__(base):
                continue
            place = ctypes.c_void_p.from_address(id(base) + _SUBCLASSES_AT)
            if not place.value or sys.implementation.name != "cpython":
                continue
            # Only where types are laid out as expected: a dict of weak references by address.
            if ctypes.c_void_p.from_address(place.value + 8).value != id(dict):
                continue
            listed = ctypes.cast(place.value, ctypes.py_object).value
            for key, reference in list(listed.items()):
                if type(reference) is weakref.ref and reference() is kind:
                    del listed[key]


def own_classes(problem: Problem, checks: tuple[Check, ...]) -> list[type]:
    """The classes that are the answer to this problem and have to be in memory for its checks."""
    modules = [c.arguments["reference"] for c in checks if "reference" in c.arguments]
    found = [
        v
        for m in modules
        for v in vars(m).values()
        if isinstance(v, type) and v.__module__ == m.__name__
    ]
    return [*found, GPT2Config] if problem.key == "09" else found


def _privately(spaces: Spaces) -> None:
    copies: dict[int, ModuleType] = {}
    for name in _PRIVATE:
        original = importlib.import_module(name)
        copies[id(original)] = ModuleType(name)
        copies[id(original)].__dict__.update(original.__dict__)
    for copy in copies.values():
        for name, value in list(copy.__dict__.items()):
            if id(value) in copies:
                setattr(copy, name, copies[id(value)])
    for space in spaces:
        for name, value in list(space.items()):
            if id(value) in copies:
                space[name] = copies[id(value)]


def remember_lines(checks: tuple[Check, ...]) -> None:
    """Let tracebacks show the lines of the checks without opening files, and none of a reference."""
    linecache.clearcache()
    files = {Path(inspect.getfile(c.function)) for c in checks}
    for path in (*files, *(catalogue.ROOT / "common").rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        linecache.cache[str(path)] = (sum(map(len, lines)), None, lines, str(path))


def _without_files(spaces: Spaces) -> None:
    """Give the checks themselves earlier parts that were loaded before, as the files are about to go."""
    kept = {
        each.name: loading.problem(each.key)
        for each in catalogue.problems()
        if any(value is loading.problem for space in spaces for value in space.values())
        and not each.is_interview
    }

    def problem(number: int | str) -> ModuleType:
        return kept[catalogue.find(number).name]

    for space in spaces:
        for name, value in list(space.items()):
            if value is loading.problem:
                space[name] = problem


def harness_spaces(checks: tuple[Check, ...]) -> Spaces:
    """The globals of the checks and of everything in common that they run through."""
    own = [getattr(c.function, "__globals__") for c in checks]  # noqa: B009 (a type checker knows no function)
    spaces = {id(space): space for space in own}
    for name, module in sys.modules.items():
        if name.startswith(("common.testing", "common.checks", "common.causes")):
            spaces[id(module.__dict__)] = module.__dict__
    return list(spaces.values())
