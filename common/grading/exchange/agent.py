"""The student's side: loads the file and does what it is asked. It holds nothing that the student may not see.

This runs in the process that runs the student's code, so nothing that it says is more than a claim. It
imports torch, the standard library and its neighbours in this folder; what `common` offers a solution.py
comes as text from the other side.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import itertools
import linecache
import operator
import random
import sys
import traceback
import types
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from . import claims, hub, standins
from .files import Copies
from .peer import Peer
from .standins import RemoteFunction, RemoteIterator
from .values import Reader, Writer, data_of
from .wire import Wire

_MARK = "__learners__"  # a global of every module that was loaded here
_FUNCTIONS = (
    types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.MethodWrapperType,
    functools.partial, functools._lru_cache_wrapper,
)  # fmt: skip
_DO: dict[str, Callable[..., Any]] = {
    "eq": operator.eq, "hash": hash, "len": len, "bool": bool, "repr": repr, "contains": operator.contains,
    "getitem": operator.getitem, "setitem": operator.setitem, "iter": iter, "next": next, "deepcopy": copy.deepcopy,
}  # fmt: skip
_MOST_PRINTED = 10_000  # characters that go with one answer
_WATCHED = 200  # tensors and containers that are looked at after each call


class NoTerminal(Exception):
    """breakpoint() was called."""


class _Printed(io.StringIO):
    """What was printed since the last answer; nothing beyond a limit is kept."""

    def write(self, text: str) -> int:
        if self.tell() < _MOST_PRINTED:
            super().write(text[:_MOST_PRINTED])
        return len(text)

    def taken(self) -> str:
        text = self.getvalue()[:_MOST_PRINTED]
        self.seek(0)
        self.truncate()
        return text


class _Only:
    """Refuses every import but those of the standard library and of some packages."""

    def __init__(self, packages: list[str]) -> None:
        self.packages = {*packages, "common", *sys.stdlib_module_names}

    def find_spec(self, name: str, *_: Any) -> None:
        top = name.partition(".")[0]
        if top not in self.packages and not top.startswith("_"):
            raise ModuleNotFoundError(f"No module named {top!r} where this is graded", name=name)


class Agent(Peer):
    """Answers for one submission to one problem.

    Args:
        elsewhere, recording: the modules of these names in common.testing.
        folder: where files of the checks may be put.
    """

    may_look = False

    def __init__(self, wire: Wire, elsewhere: ModuleType, recording: ModuleType, folder: Path) -> None:
        super().__init__(wire, 1)
        self.elsewhere, self.recording = elsewhere, recording
        self.copies = Copies(folder)
        self.special = {"DevicesDiffer": elsewhere.DevicesDiffer}
        self.earlier: dict[str, str] = {}  # the text of each part that the file may build on, by key
        self.loaded: dict[str, ModuleType] = {}
        self.module = ModuleType("solution")
        self.printed = _Printed()
        self.lent: list[tuple[Any, list[Any]]] = []  # lists and dicts of the other side's, and what they held
        self.watched: list[tuple[Tensor, int]] = []  # tensors that crossed, with their version
        self.structures: dict[int, claims.Structure] = {}  # of the other side's modules

    def serve(self) -> None:
        """Answer until the other side ends it."""
        sys.stdout, sys.breakpointhook = self.printed, _no_terminal
        while True:
            self.serve_one()

    # --- the file --------------------------------------------------------------------------------

    def load(
        self, source: str, file: str, earlier: dict[str, str], library: dict[str, str], packages: list[str]
    ) -> Any:
        """Execute the student's file; what is wrong with it, as (kind, message, line, code), or None.

        Args:
            library: the text of what `common` offers, by the module's name.
            packages: what may be imported beside it and the standard library.
        """
        self.earlier = earlier
        sys.meta_path.insert(0, _Only(packages))
        common = sys.modules["common"] = ModuleType("common")
        common.__path__ = []  # type: ignore[attr-defined]
        common.problem = self.problem  # type: ignore[attr-defined]
        for name, text in library.items():
            made = sys.modules[name] = ModuleType(name)
            made.__path__ = []  # type: ignore[attr-defined]
            exec(compile(text, f"<{name}>", "exec", dont_inherit=True), made.__dict__)
            public = [n for n in getattr(made, "__all__", vars(made)) if not n.startswith("_")]
            vars(common).update({n: vars(made)[n] for n in public if n in ("GPT2Config", "gpt2_tokenizer")})
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

    def begin(self) -> None:
        """A new check: forget the last one, and put back what a file may have changed for all of torch."""
        self.fresh()
        for table in (self.lent, self.watched, self.structures):
            table.clear()
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        if torch.are_deterministic_algorithms_enabled():
            torch.use_deterministic_algorithms(False)

    # --- answers ---------------------------------------------------------------------------------

    def attribute(self, name: str) -> Any:
        return getattr(self.module, name)

    def call(self, thing: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return thing(*map(self.copies.here, args), **kwargs)

    def record(self, function: Any, settings: dict[str, Any]) -> Any:
        result, steps = self.recording.record(function, **settings)
        return result, [vars(step) for step in steps]

    def method(self, owner: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return getattr(owner, name)(*args, **kwargs)

    def get(self, owner: Any, name: str) -> Any:
        return getattr(owner, name)

    def set(self, owner: Any, name: str, value: Any) -> None:
        setattr(owner, name, value)

    def delete(self, owner: Any, name: str) -> None:
        delattr(owner, name)

    def do(self, name: str, *args: Any) -> Any:
        return _DO[name](*args)

    answers = Peer.answers | {
        "load": load, "begin": begin, "attribute": attribute, "call": call, "forward": call,
        "record": record, "method": method, "get": get, "set": set, "delete": delete, "do": do,
    }  # fmt: skip

    @contextlib.contextmanager
    def answering(self, head: dict[str, Any], reader: Reader, reply: dict[str, Any]) -> Iterator[None]:
        self._lend(reader)
        given = [(t, data_of(t)) for t in reader.plain]
        self.watched += [(t, _version(t)) for t in reader.plain]
        self.copies.take(reader.value(head["files"]) if "files" in head else {})
        reply |= {"events": [], "changed": []}
        with contextlib.ExitStack() as around:
            for condition in self._conditions(head, reader, reply):
                around.enter_context(condition)
            if "random" in head:
                torch.set_rng_state(reader.tensor(head["random"][0]))
                random.seed(head["random"][1])
            torch.set_grad_enabled(head["grad"])
            try:
                yield
            finally:
                reply["grad"] = torch.is_grad_enabled()
                reply["changed"] = {id(t) for t, data in given if data_of(t) != data}

    def _conditions(self, head: dict[str, Any], reader: Reader, reply: dict[str, Any]) -> Iterator[Any]:
        """What the check has arranged around its call, here as well."""
        if head.get("listen"):
            yield self._listening(head["listen"], reply["events"])
        if "elsewhere" in head:
            yield self._elsewhere(head["elsewhere"])
        if "operations" in head:
            noting = claims.Operations(self.slots)
            reply["operations"] = noting.noted
            yield noting
        if "steps" in head:
            yield claims.steps_told(self.slots, functools.partial(self.ask, "stepped"))
        if "hub" in head:
            download, cache = head["hub"]
            yield hub.standing_in(reader.value(download), self.copies.here(cache), [self.module])

    def closing(self, writer: Writer, reply: dict[str, Any], value: Any) -> None:
        changed = []
        for number, (tensor, version) in enumerate(self.watched):
            if _version(tensor) != version or id(tensor) in reply["changed"]:
                changed.append([number, writer.tensor(tensor.detach())])
                self.watched[number] = tensor, _version(tensor)
        reply["changed"] = changed
        reply["events"] = [
            [number, side, writer.value(args), writer.value(output)]
            for number, side, args, output in reply["events"]
        ]
        self.watched += [(t, _version(t)) for t in writer.plain]
        reply["printed"] = self.printed.taken()
        reply["contents"] = self._borrowed(writer)
        reply["structure"] = []
        for number, known in self.structures.items():
            if (changes := known.changes()) is not None:
                reply["structure"].append([number, changes])
                self.structures[number] = claims.Structure(known.module)

    def _lend(self, reader: Reader) -> None:
        for container in reader.containers[: max(_WATCHED - len(self.lent), 0)]:
            self.lent.append((container, _held(container)))

    def _borrowed(self, writer: Writer) -> list[Any]:
        """The lists and dicts of the other side's that hold something else by now."""
        changed = []
        for index, (container, before) in enumerate(self.lent):
            now = _held(container)
            if len(now) != len(before) or not all(map(operator.is_, now, before)):
                changed.append([index, writer.value(container)])
                self.lent[index] = container, now
        return changed

    @contextlib.contextmanager
    def _listening(self, numbers: list[int], events: list[Any]) -> Iterator[None]:
        """Note what goes into and comes out of these modules."""
        handles = []
        for number in numbers:
            part = self.objects[number]

            def before(_: nn.Module, args: Any, number: int = number) -> None:
                events.append((number, "before", args, None))

            def after(_: nn.Module, args: Any, output: Any, number: int = number) -> None:
                events.append((number, "after", args, output))

            handles += [part.register_forward_pre_hook(before), part.register_forward_hook(after)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextlib.contextmanager
    def _elsewhere(self, numbers: list[int]) -> Iterator[None]:
        """The second device that common.testing.elsewhere invents; these tensors lie on it."""
        marked = [self.slots[number].now() for number in numbers]
        for tensor in marked:
            tensor._is_elsewhere = True
        try:
            with self.elsewhere.elsewhere():
                yield
        finally:
            for tensor in marked:
                tensor._is_elsewhere = False

    def built(self, module: nn.Module) -> None:
        for part in module.modules():
            number = self.number(part)
            if number is not None and not self.is_mine(number):
                self.structures[number] = claims.Structure(part)

    def ask(self, what: str, *args: Any) -> Any:
        return self.copies.here(super().ask(what, *args))

    def heard(self, reader: Reader, head: dict[str, Any]) -> None:
        self.copies.take(reader.value(head["files"]) if "files" in head else {})

    def _written(self, error: BaseException) -> dict[str, Any]:
        node = super()._written(error)
        if "args" in node:
            node["args"] = [self.copies.there(a) if isinstance(a, str) else a for a in node["args"]]
        return node

    # --- objects ---------------------------------------------------------------------------------

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

    # --- manners ---------------------------------------------------------------------------------

    def by_the_rules(self) -> Any:
        return contextlib.nullcontext()

    def is_learners(self, frame: Any) -> bool:
        return _MARK in frame.f_globals


_LEARNERS = {"solution"}


def _methods(kind: type) -> set[str]:
    """The public methods that the learner's classes give to it."""
    return {
        name
        for base in kind.__mro__
        if base.__module__ in _LEARNERS
        for name, value in vars(base).items()
        if not name.startswith("_") and isinstance(value, types.FunctionType | classmethod | staticmethod)
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


def _version(tensor: Tensor) -> int:
    """How often it was written to; tensors of inference mode do not count that."""
    return 0 if tensor.is_inference() else tensor._version


def _held(container: Any) -> list[Any]:
    return [*itertools.chain(container, container.values())] if isinstance(container, dict) else [*container]


def _no_terminal(*_: Any, **__: Any) -> None:
    raise NoTerminal
