"""How the functions stood that a verdict depends on, and whether they still do."""

from __future__ import annotations

import _thread
import builtins
import ctypes
import operator
import sys
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from common.testing import asserts, elsewhere, trace

Spaces = list[dict[str, Any]]  # the globals of the harness's modules

_LIBRARIES = (
    "builtins", "torch", "torch._tensor", "torch._C", "torch.functional", "torch.nn",
    "torch.nn.functional", "torch.nn.init", "torch.nn.parameter", "torch.nn.modules.module",
    "torch.nn.modules.linear", "torch.nn.modules.sparse", "torch.nn.modules.normalization",
    "torch.nn.modules.container", "torch.random", "torch.testing", "torch.testing._comparison",
    "torch.autograd", "torch.overrides", "torch.optim", "math", "random", "operator", "copy",
    "inspect", "re", "json", "types", "contextlib", "functools", "collections", "itertools",
    "traceback", "warnings", "zlib", "pytest", "_pytest.python_api", "_pytest.raises",
)  # fmt: skip
_MAY_CHANGE = {"_dynamo", "Storage", "_"}  # by an import, by set_default_dtype
_IMMUTABLE = 1 << 8  # Py_TPFLAGS_IMMUTABLETYPE
_FLAGS_AT = 168  # offset of tp_flags in PyTypeObject; only used where it proves right
_FIXED = (type, FunctionType, type(len), type(str.join), type(Tensor.grad), type(int.__add__),
          property, staticmethod, classmethod, ModuleType, type(nn.functional.conv1d))  # fmt: skip


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

    def __init__(self, spaces: Spaces) -> None:
        modules = [(n, sys.modules[n].__dict__) for n in _LIBRARIES if n in sys.modules]
        harness = [(str(s.get("__name__")), s) for s in spaces]
        classes: dict[int, type] = {id(c): c for c in (Tensor, torch._C.TensorBase, nn.Parameter)}
        for _, space in harness:
            for value in space.values():
                if isinstance(value, type) and str(value.__module__).startswith("common"):
                    classes[id(value)] = value
        patched = any(s.get("__name__") == "common.testing.training" for s in spaces)  # by checks
        freeze([c for c in classes.values() if c is not Tensor or not patched])
        for each in (nn.Module, nn.Linear, nn.Embedding, nn.LayerNorm, nn.Dropout, nn.ModuleList):
            classes[id(each)] = each
        kinds = [(c.__qualname__, c.__dict__) for c in classes.values()]
        near = [m for m in modules if m[0] == "builtins"] + harness + kinds
        self._near = [self._note(name, space) for name, space in near]
        self._far = [self._note(name, space) for name, space in modules]
        self._builtins, self._count = builtins.__dict__, len(builtins.__dict__)
        self._functions = [
            (f, f.__code__, f.__defaults__)
            for _, space in [*modules, *near]
            for f in space.values()
            if type(f) is FunctionType
        ]
        self._threads, self._running = _thread._count, _thread._count()
        self._subclasses = [*_below(Tensor)]
        self._modes = torch._C._len_torch_function_stack
        self._mode_at = torch._C._get_function_stack_at
        self._dispatch = torch._C._len_torch_dispatch_stack
        self._own_mode = elsewhere._Mode
        self._tools = (map, all, operator.is_, type)
        self._spaces = spaces

    @staticmethod
    def _note(name: str, space: Any) -> tuple[str, Any, tuple[str, ...], tuple[Any, ...]]:
        names = tuple(n for n, v in space.items() if isinstance(v, _FIXED) and n not in _MAY_CHANGE)
        return name, space.get, names, tuple(space[n] for n in names)

    def _changed(self, noted: list[Any]) -> str:
        map_, all_, is_, _ = self._tools  # not id(), which is an audit event
        for name, get, names, before in noted:
            if not all_(map_(is_, map_(get, names), before)):
                for index, each in enumerate(names):
                    now = get(each)
                    if now is not before[index] and not self._own(now):
                        return f"{name}.{each} was replaced"
        return ""

    def _own(self, value: Any) -> bool:
        """Whether this is a function of the checks, some of which listen in on torch for a while."""
        if self._tools[3](value) is not FunctionType:
            return False
        return any(value.__globals__ is each for each in self._spaces)

    def quick(self) -> str:
        """What a single comparison leans on: empty if all is as it was."""
        if self._threads() != self._running:
            return "a thread was left running"
        if self._builtins.__len__() != self._count:
            return "builtins were added to"
        for i in range(self._modes()):
            kind = self._tools[3](self._mode_at(i))
            if kind is not self._own_mode and not self._own(
                getattr(kind, "__torch_function__", None)
            ):
                return "a torch function mode was left switched on"
        if self._dispatch():
            return "a torch dispatch mode was left switched on"
        return self._changed(self._near)

    def full(self) -> str:
        """All that was noted, less the insides of functions, which cannot be set unnoticed."""
        return self.quick() or self._changed(self._far)

    def last(self) -> str:
        """All that was noted, for once."""
        if found := self.full():
            return found
        for function, code, defaults in self._functions:
            if function.__code__ is not code or function.__defaults__ is not defaults:
                return f"{function.__qualname__} was rewritten"
        for kind in _below(Tensor):
            if kind not in self._subclasses and not _library(kind):
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
    where = compares.__code__.co_filename  # a library's or the harness's, or none: then a student's
    generated = where == "<string>" and hasattr(kind, "__dataclass_fields__")
    if where.startswith("<") and not generated:
        return f"{kind.__name__}, which compares in a way of its own"
    return ""


def guarded(spaces: Spaces, tell: Callable[[str], None]) -> Watch:
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
    for space in spaces:
        for name, value in list(space.items()):
            if id(value) in put and name != "__wrapped__":
                space[name] = put[id(value)]
    watching.append(Watch(spaces))
    return watching[0]
