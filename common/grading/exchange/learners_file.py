"""The student's file: loaded, with what it may build on, and how its things look in a message."""

from __future__ import annotations

import functools
import linecache
import sys
import traceback
import types
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch
from torch import nn

from . import standins
from .peer import Peer
from .standins import RemoteFunction, RemoteIterator
from .values import Reader, Writer
from .wire import Wire

_MARK = "__learners__"  # a global of every module that was loaded here
_FUNCTIONS = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType,
    functools.partial, functools._lru_cache_wrapper,
)  # fmt: skip
_LEARNERS = {"solution"}  # the names of these modules


class _Only:
    """Refuses every import but those of the standard library and of some packages."""

    def __init__(self, packages: list[str]) -> None:
        self.packages = {*packages, "common", *sys.stdlib_module_names}

    def find_spec(self, name: str, *_: Any) -> None:
        top = name.partition(".")[0]
        if top not in self.packages and not top.startswith("_"):
            raise ModuleNotFoundError(f"No module named {top!r} where this is graded", name=name)


class LearnersFile(Peer):
    """The agent's side of loading, and of values that are neither plain nor tensors."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, 1)
        self.earlier: dict[
            str, str
        ] = {}  # the text of each part that the file may build on, by key
        self.loaded: dict[str, ModuleType] = {}
        self.module = ModuleType("solution")

    def load(
        self,
        source: str,
        file: str,
        earlier: dict[str, str],
        library: dict[str, str],
        packages: list[str],
    ) -> Any:
        """Execute the student's file; what is wrong with it, as (kind, message, line, code), or None.

        Args:
            library: the text of what `common` offers, by the module's name.
            packages: what may be imported beside it and the standard library.
        """
        self.earlier = earlier
        sys.meta_path.insert(0, _Only(packages))
        common = sys.modules["common"] = ModuleType("common")
        common.__path__ = []
        vars(common)["problem"] = self.problem
        for name, text in library.items():
            made = sys.modules[name] = ModuleType(name)
            made.__path__ = []
            exec(compile(text, f"<{name}>", "exec", dont_inherit=True), made.__dict__)
            public = [n for n in getattr(made, "__all__", vars(made)) if not n.startswith("_")]
            vars(common).update(
                {n: vars(made)[n] for n in public if n in ("GPT2Config", "gpt2_tokenizer")}
            )
        try:
            self.module = _execute(source, file, "solution")
        except NotImplementedError as error:
            return ["todo", str(error), None, ""]
        except SyntaxError as error:
            return ["error", f"{type(error).__name__}: {error.msg}", error.lineno, error.text or ""]
        except BaseException as error:
            frames = _learners(error)
            line, code = (frames[-1].lineno, frames[-1].line or "") if frames else (None, "")
            return ["error", f"{type(error).__name__}: {error}", line, code]
        return None

    def problem(self, number: int | str) -> ModuleType:
        """The reference of an earlier problem."""
        key = str(number).zfill(2) if str(number).isdecimal() else str(number)
        key = next((k for k in self.earlier if k == key or key.startswith(f"{k}-")), key)
        if key not in self.earlier:
            raise ValueError(f"problem({number!r}): only the parts of earlier problems are there")
        if key not in self.loaded:
            self.loaded[key] = _execute(self.earlier[key], f"<problem {key}>", f"solution_{key}")
        return self.loaded[key]

    # --- its things ------------------------------------------------------------------------------

    def describe(self, writer: Writer, value: Any) -> Any:
        if not _methods(type(value)):
            for kind in (bool, int, float, str, bytes, tuple, list):
                if isinstance(value, kind):
                    return writer.value(kind(value))
            if isinstance(value, Mapping):
                return writer.value(dict(value))
        if isinstance(value, type):
            return ["o", self.add(value, lasting=True), self._class(writer, value)]
        if isinstance(value, _FUNCTIONS):
            lasting = any(value is known for known in vars(self.module).values())
            about = {"kind": "function", "name": getattr(value, "__name__", "function"), "lasting": lasting,
                     "signature": standins.signature_of(value, writer)}  # fmt: skip
            return ["o", self.add(value, lasting=lasting), about]
        if hasattr(value, "__next__"):
            return ["o", self.add(value), {"kind": "iterator"}]
        return ["o", self.add(value), {"kind": "object", "class": writer.value(type(value))}]

    def _class(self, writer: Writer, kind: type) -> dict[str, Any]:
        module = issubclass(kind, nn.Module)
        own = [base for base in kind.__bases__ if base.__module__.partition(".")[0] in _LEARNERS]
        forward = kind.forward if module and kind.forward is not nn.Module.forward else None
        signature = forward and (standins.signature_of(forward, writer) or [])[1:]
        return {
            "kind": "class", "name": kind.__name__, "bases": [writer.value(base) for base in own],
            "module": module, "forward": signature, "methods": sorted(_methods(kind)),
        }  # fmt: skip

    def make(self, reader: Reader, number: int, about: dict[str, Any]) -> Any:
        kind = about["kind"]
        if kind == "function":
            signature = standins.signature(about["signature"], reader)
            return RemoteFunction(self, number, about["name"], signature)
        if kind == "config":
            made = vars(sys.modules["common"])["GPT2Config"](**reader.value(about["fields"]))
        elif kind == "iterator":
            made = standins.each(RemoteIterator(self, number))
        elif kind == "class":
            return self._their_class(reader, number, about)
        else:
            made = standins.offered(self, about["name"], about["methods"])()
            made.__dict__.update(reader.value(about["data"]), _number=number)
            return made
        self.numbers[id(made)] = number
        return made

    def _their_class(self, reader: Reader, number: int, about: dict[str, Any]) -> Any:
        """A class of modules: that of an earlier part if it is one, else one that asks."""
        self.lasting.add(number)
        key, name = about["part"] or ("", "")
        if key in self.earlier:
            found = getattr(self.problem(key), name)
            self.numbers[id(found)] = number
            return found
        forward = standins.signature(about["forward"], reader)
        return standins.make_class(
            self, number, about["name"], [], module=True, forward=forward, methods=[]
        )

    def read(self, reader: Reader, node: list[Any]) -> Any:
        if node[0] != "generator":
            return super().read(reader, node)
        _, number, state = node
        generator = self.objects.setdefault(number, torch.Generator())
        return generator.set_state(reader.tensor(state))

    def is_learners(self, frame: Any) -> bool:
        return _MARK in frame.f_globals


def _methods(kind: type) -> set[str]:
    """The public methods that the learner's classes give to it."""
    return {
        name
        for base in kind.__mro__
        if base.__module__ in _LEARNERS
        for name, value in vars(base).items()
        if not name.startswith("_")
        and isinstance(value, types.FunctionType | classmethod | staticmethod)
    }


def _execute(source: str, file: str, name: str) -> ModuleType:
    module = ModuleType(name)
    module.__file__ = file
    module.__dict__[_MARK] = True
    _LEARNERS.add(name)
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    sys.modules[name] = module  # dataclasses look a class's module up here
    exec(compile(source, file, "exec", dont_inherit=True), module.__dict__)
    return module


def _learners(error: BaseException) -> list[traceback.FrameSummary]:
    frames = (f for f in traceback.walk_tb(error.__traceback__) if _MARK in f[0].f_globals)
    return [*traceback.StackSummary.extract(frames)]
