"""Before a student's code is let in: put the harness out of its reach, and note how things were.

The student's code and the checks share a process, so this is a matter of making tampering without
effect or visible, not impossible; GRADING.md says what remains.
"""

from __future__ import annotations

import builtins
import ctypes
import importlib
import sys
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from common import catalogue
from common.catalogue import Problem
from common.checks import Check
from common.config import GPT2Config
from common.loading import load
from common.testing import asserts, elsewhere, trace
from common.tokenizer import gpt2_tokenizer

_HARNESS = ("common", "pytest", "_pytest", "pluggy", "xdist", "hypothesis", "faulthandler")
_LIBRARIES = (
    "builtins", "torch", "torch._tensor", "torch._C", "torch.functional", "torch.nn",
    "torch.nn.functional", "torch.nn.init", "torch.nn.parameter", "torch.nn.modules.module",
    "torch.nn.modules.linear", "torch.nn.modules.sparse", "torch.nn.modules.normalization",
    "torch.nn.modules.container", "torch.random", "torch.testing", "torch.testing._comparison",
    "torch.autograd", "torch.overrides", "torch.optim", "math", "random", "operator", "copy",
    "inspect", "re", "json", "types", "contextlib", "functools", "collections", "itertools",
    "traceback", "warnings", "zlib", "pytest", "_pytest.python_api", "_pytest.raises",
)  # fmt: skip
_PRIVATE = ("torch", "torch.nn", "torch.nn.functional", "torch.nn.init", "torch.nn.utils", "math",
            "random", "copy", "inspect", "re", "operator", "contextlib", "warnings", "zlib")  # fmt: skip
_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
_FLAGS_AT = 168  # offset of PyTypeObject.tp_flags; only used where it proves right
_FIXED = (type, FunctionType, type(len), type(str.join), type(Tensor.grad), type(int.__add__),
          property, staticmethod, classmethod, ModuleType, type(nn.functional.conv1d))  # fmt: skip


class TakenFromReference(ImportError):
    """A submission asked for the reference of the very problem it answers, or of a later one."""


def facade(problem: Problem, report: Callable[[str], None]) -> ModuleType:
    """What `import common` gives a student: the three names of the contract, and nothing behind them."""
    earlier: dict[str, ModuleType] = {}
    for each in catalogue.problems():
        # Copies of their own: what a student does to them does not reach the checks' references.
        if not each.is_interview and not problem.is_interview and each.key < problem.key:
            earlier[each.name] = load(each.reference, lambda p: p.reference)

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


def hide(problem: Problem, checks: tuple[Check, ...], report: Callable[[str], None]) -> None:
    """Take the harness out of sys.modules, and give it copies of the libraries that it compares with."""
    shown = facade(problem, report)
    _privately(checks)
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


def _privately(checks: tuple[Check, ...]) -> None:
    copies: dict[int, ModuleType] = {}
    for name in _PRIVATE:
        original = importlib.import_module(name)
        copies[id(original)] = ModuleType(name)
        copies[id(original)].__dict__.update(original.__dict__)
    for copy in copies.values():
        for name, value in list(copy.__dict__.items()):
            if id(value) in copies:
                setattr(copy, name, copies[id(value)])
    for space in harness_spaces(checks):
        for name, value in list(space.items()):
            if id(value) in copies:
                space[name] = copies[id(value)]


def harness_spaces(checks: tuple[Check, ...]) -> list[dict[str, Any]]:
    """The globals of the checks and of everything in common that they run through."""
    spaces = {id(c.function.__globals__): c.function.__globals__ for c in checks}
    for name, module in sys.modules.items():
        if name.startswith(("common.testing", "common.checks", "common.causes")):
            spaces[id(module.__dict__)] = module.__dict__
    return list(spaces.values())


def freeze(types: list[type]) -> None:
    """Make classes immutable, as built-in ones are, where this Python lays types out as expected."""
    for kind in types:
        flags = ctypes.c_ulong.from_address(id(kind) + _FLAGS_AT)
        if flags.value == kind.__flags__ and not flags.value & _IMMUTABLE:
            flags.value |= _IMMUTABLE
            if not kind.__flags__ & _IMMUTABLE:
                flags.value &= ~_IMMUTABLE


class Watch:
    """How the functions stood that a verdict depends on; `quick` and `full` say what has changed since.

    Identities only: nothing of a student's making is asked whether it is equal.
    """

    def __init__(self, checks: tuple[Check, ...]) -> None:
        modules = [(n, sys.modules[n].__dict__) for n in _LIBRARIES if n in sys.modules]
        harness = [(str(s.get("__name__")), s) for s in harness_spaces(checks)]
        classes: dict[int, type] = {id(c): c for c in (Tensor, torch._C.TensorBase, nn.Parameter)}
        for _, space in harness:
            for value in space.values():
                if isinstance(value, type) and str(value.__module__).startswith("common"):
                    classes[id(value)] = value
        freeze(list(classes.values()))
        for each in (nn.Module, nn.Linear, nn.Embedding, nn.LayerNorm, nn.Dropout, nn.ModuleList):
            classes[id(each)] = each
        kinds = [(c.__qualname__, c.__dict__) for c in classes.values()]
        near = [m for m in modules if m[0] == "builtins"] + harness + kinds
        self._near = [self._note(name, space) for name, space in near]
        self._far = [self._note(name, space) for name, space in modules]
        self._builtins, self._count = builtins.__dict__, len(builtins.__dict__)
        self._functions = [
            (f, id(f.__code__), id(f.__defaults__))
            for _, space in [*modules, *near]
            for f in space.values()
            if type(f) is FunctionType
        ]
        self._subclasses = {id(c) for c in _below(Tensor)}
        self._modes = torch._C._len_torch_function_stack
        self._mode_at = torch._C._get_function_stack_at
        self._dispatch = torch._C._len_torch_dispatch_stack
        self._own_mode = elsewhere._Mode
        self._tools = (map, id, tuple, zip, type)

    @staticmethod
    def _note(name: str, space: Any) -> tuple[str, Any, tuple[str, ...], tuple[int, ...]]:
        names = tuple(n for n, v in space.items() if isinstance(v, _FIXED) and n != "_dynamo")
        return name, space, names, tuple(id(space[n]) for n in names)

    def _changed(self, noted: list[Any]) -> str:
        map_, id_, tuple_, zip_, _ = self._tools
        for name, space, names, ids in noted:
            if tuple_(map_(id_, map_(space.get, names))) != ids:
                for each, before in zip_(names, ids):
                    if id_(space.get(each)) != before:
                        return f"{name}.{each} was replaced"
        return ""

    def quick(self) -> str:
        """What a single comparison leans on: empty if all is as it was."""
        if self._builtins.__len__() != self._count:
            return "builtins were added to"
        for i in range(self._modes()):
            if self._tools[4](self._mode_at(i)) is not self._own_mode:
                return "a torch function mode was left switched on"
        if self._dispatch():
            return "a torch dispatch mode was left switched on"
        return self._changed(self._near)

    def full(self) -> str:
        """All that was noted."""
        if found := self.quick() or self._changed(self._far):
            return found
        _, id_, *_ = self._tools
        for function, code, defaults in self._functions:
            if id_(function.__code__) != code or id_(function.__defaults__) != defaults:
                return f"{function.__qualname__} was rewritten"
        for kind in _below(Tensor):
            if id_(kind) not in self._subclasses and not _library(kind):
                return f"a subclass of Tensor was made: {kind.__name__}"
        return ""


def _library(kind: type) -> bool:
    module = sys.modules.get(kind.__module__)
    return kind.__module__.startswith("torch.") and getattr(module, kind.__name__, None) is kind


def _below(kind: type) -> Iterator[type]:
    for each in type.__subclasses__(kind):
        yield each
        yield from _below(each)


_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size)
_EQ = object.__eq__


def suspicious(value: Any, depth: int = 0) -> str:
    """Why this value could pass for another one; empty for plain data and plain tensors."""
    kind = type(value)
    if kind in _PLAIN or depth > 6:
        return ""
    if isinstance(value, Tensor):
        if kind is not Tensor and kind is not nn.Parameter:
            return f"a tensor of a class of its own, {kind.__name__}"
        extra = [n for n in value.__dict__ if n != elsewhere._MARK]
        if any(callable(value.__dict__[n]) for n in extra):
            return f"a tensor with methods of its own: {extra[0]}"
        return ""
    if kind in (tuple, list, set, frozenset):
        return next(filter(None, (suspicious(v, depth + 1) for v in value)), "")
    if kind is dict:
        pairs = [*value.keys(), *value.values()]
        return next(filter(None, (suspicious(v, depth + 1) for v in pairs)), "")
    compares = kind.__eq__
    if compares is _EQ or not isinstance(compares, FunctionType):
        if isinstance(value, bool | int | float | str | bytes) and compares not in (
            int.__eq__, float.__eq__, str.__eq__, bytes.__eq__,
        ):  # fmt: skip
            return f"{kind.__name__}, which compares in a way of its own"
        return ""
    if compares.__code__.co_filename.startswith("<solution_") or kind.__module__.startswith("solution_"):
        generated = compares.__code__.co_filename == "<string>" and hasattr(kind, "__dataclass_fields__")
        return "" if generated else f"{kind.__name__}, which compares in a way of its own"
    return ""


def guarded(checks: tuple[Check, ...], tell: Callable[[str], None]) -> Watch:
    """Let every assertion look, right before it compares, whether all is as it was.

    Args:
        tell: is given what is not; the check has then not passed, whatever it goes on to find.
    """
    observe, assert_tensor = trace.observe, asserts.assert_tensor
    watching: list[Watch] = []

    def quick() -> str:
        return watching[0].quick()

    def guarded_observe(what: str, value: Any) -> None:
        if found := quick() or suspicious(value):
            tell(found)
        observe(what, value)

    def guarded_assert_tensor(actual: Any, what: str) -> Tensor:
        if found := quick() or suspicious(actual):
            tell(found)
        return assert_tensor(actual, what)

    put = {id(observe): guarded_observe, id(assert_tensor): guarded_assert_tensor}
    for space in harness_spaces(checks):
        for name, value in list(space.items()):
            if id(value) in put and name != "__wrapped__":
                space[name] = put[id(value)]
    watching.append(Watch(checks))
    return watching[0]
