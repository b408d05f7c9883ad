"""The judge's side: a module that stands for the student's, on which the checks run as they are."""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from common import internals
from common.config import GPT2Config
from common.course.catalogue import Problem, find, problems
from common.grading.exchange import claims, files, hub, standins, trees
from common.grading.exchange.peer import Peer
from common.grading.exchange.slots import Slot
from common.grading.exchange.standins import RemoteClass, RemoteFunction, RemoteIterator, RemoteModule, RemoteObject
from common.grading.exchange.values import Reader, Unknown, Writer
from common.grading.exchange.wire import Over, Wire
from common.grading.libraries import packages
from common.judging.checks import Check, NoTerminal
from common.judging.loading import LoadFailure
from common.judging.records import Outcome, Status
from common.testing import elsewhere
from common.testing.elsewhere import DevicesDiffer

COMMON = Path(__file__).parents[2]
# The functions and classes whose business is to change what they are given. All others get the checks' own
# tensors, modules, lists and dicts to look at: what a student's process says it did to them is a claim.
MAY_CHANGE = {"11": {"init_weights"}, "16": {"pretrain"}, "interview-04": {"Adam", "AdamW"}}
_RUNS = {"call", "forward", "method", "do", "record"}  # questions that run a learner's code, which may draw numbers


class StandIn(ModuleType):
    """The student's module as the checks see it: its names are asked for when they are used."""

    def __init__(self, judge: Judge, file: Path) -> None:
        super().__init__("solution")
        self.__file__ = str(file)
        self.__dict__["_judge"] = judge

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self._judge.attribute(name)


class Judge(Peer):
    """Puts the checks' questions to one submission.

    What the student's process says to have changed, and may not change, is left as it is, so that nothing is
    computed from it, and `claimed` says so. With `believes` the check hears it as it would in one process: one
    that asks whether an input was left alone has to pass in both ways.
    """

    special = {"DevicesDiffer": DevicesDiffer, "NoTerminal": NoTerminal}

    def __init__(self, wire: Wire, problem: Problem) -> None:
        super().__init__(wire, 0)
        self.problem = problem
        self.names: dict[str, Any] = {}  # functions and classes that were asked for
        self.methods: dict[int, tuple[str, ...]] = {}  # what may be called of the checks' own objects
        self.lent: list[Any] = []  # the checks' lists and dicts that went along
        self.crossed: list[Tensor] = []  # tensors that went along or came back, in their order
        self.optimizers: dict[int, claims.Optimizer] = {}
        self.events: list[Any] = []
        self.believes = self.claimed = False
        self.changing: set[int] = set()  # numbers of what MAY_CHANGE names, and of the objects made by it
        self.changes = 0  # questions under way whose business is to change something

    def load(self, source: str, file: Path) -> StandIn:
        """Let the student's file be executed, and return what stands for it.

        Raises:
            LoadFailure, NotImplementedError: as common.judging.loading.execute.
        """
        parts = earlier(self.problem), library(self.problem), packages(self.problem)
        found = self.ask("load", source, str(file), *parts)
        if found is None:
            return StandIn(self, file)
        with self.by_the_rules():
            kind, message, line, code = found
            message, line, code = str(message), line and int(line), str(code)
        if kind == "todo":
            raise NotImplementedError(message)
        raise LoadFailure(message, path=file, line=line, code=code)

    def begin(self, *, believes: bool = False) -> None:
        """A new check begins."""
        self.believes, self.claimed = believes, False
        self.changing &= self.lasting
        self.fresh()
        self.ask("begin")
        for table in (self.lent, self.crossed, self.methods, self.optimizers):
            table.clear()

    def outcome(self, check: Check, stand_in: StandIn) -> Outcome:
        """What a check gives."""
        self.begin()
        outcome = check.run(stand_in)
        if outcome.status == Status.PASSED and self.claimed:
            self.begin(believes=True)
            outcome = check.run(stand_in)
        return outcome

    def attribute(self, name: str) -> Any:
        """A name of the student's module."""
        if name not in self.names:
            value = self.ask("attribute", name)
            if not isinstance(value, RemoteClass | RemoteFunction) or value._number not in self.lasting:
                return value
            self.names[name] = value
            if name in MAY_CHANGE.get(self.problem.key, ()):
                self.changing.add(value._number)
        return self.names[name]

    def ask(self, what: str, *args: Any) -> Any:
        changes = bool(args) and self.number(args[0]) in self.changing
        self.changes += changes
        try:
            value = super().ask(what, *args)
        finally:
            self.changes -= changes
        if changes and isinstance(value, RemoteObject):
            self.changing.add(value.__dict__["_number"])
        return value

    def accepts(self, slot: Slot) -> bool:
        accepted = self.changes > 0 or slot.known is None or self.believes
        self.claimed |= not accepted
        return accepted

    # --- what goes along, and what comes back ----------------------------------------------------

    def details(self, writer: Writer, what: str, args: tuple[Any, ...]) -> dict[str, Any]:
        more: dict[str, Any] = {}
        if what in _RUNS:
            # Sent, and never taken back: the next call starts from other numbers whatever this one does.
            more["random"] = [writer.tensor(torch.get_rng_state()), random.getrandbits(64)]
            torch.rand(1)
            more |= self._arrangements(writer)
            paths = [value for arg in args if isinstance(arg, tuple) for value in arg]
            if found := files.named([*paths, more.get("hub", ["", ""])[1]]):
                more["files"] = writer.value(found)
        if what == "forward":
            more["listen"] = [self.number(part) for part in trees.hooked(args[0])]
        slots = self.slots.known.items()
        marked = [number for number, s in slots if getattr(s.now(), "_is_elsewhere", False)]
        if marked or writer.elsewhere:
            more["elsewhere"] = marked
        self.lent += writer.containers
        self.crossed += writer.plain
        return more

    def _arrangements(self, writer: Writer) -> dict[str, Any]:
        """What the check has arranged around its call, for the other side to arrange as well."""
        more: dict[str, Any] = {}
        if _modes():
            more["operations"] = True
        if internals.optimizer_hooks():
            more["steps"] = True
        if fake := hub.faked():
            more["hub"] = [writer.value(fake[0]), fake[1]]
        return more

    def recorded(self, function: Any, settings: dict[str, Any]) -> Any:
        answer = self.ask("record", function, settings)
        with self.by_the_rules():
            result, steps = answer
            if not all(_is_step(step) for step in steps):
                raise ValueError("a step of training that is none")
        return result, steps

    def heard(self, reader: Reader, head: dict[str, Any]) -> None:
        self.events = [
            (self.named(number), str(side), reader.value(args), reader.value(output))
            for number, side, args, output in head["events"]
        ]
        for module, *_ in self.events:
            if not isinstance(module, nn.Module):
                raise ValueError("an event of what is no module")
        self.crossed += reader.plain
        if not self.believes:
            switched = head["grad"] is not torch.is_grad_enabled()
            self.claimed |= bool(head["changed"] or head["contents"] or head["structure"] or switched)
            return
        for number, numbers in head["changed"]:
            _overwrite(self.crossed[number], reader.tensor(numbers))
        for index, content in head["contents"]:
            _refill(self.lent[index], reader.value(content))
        for number, changes in head["structure"]:
            claims.restructure(self.objects[number], changes)

    def after(self, head: dict[str, Any]) -> None:
        if text := str(head["printed"])[:20_000]:
            print(text, end="")
        if self.believes and head["grad"] is not torch.is_grad_enabled():
            torch.set_grad_enabled(bool(head["grad"]))
        with self.by_the_rules():
            claims.replay(_modes(), self.slots, head.get("operations", []), DevicesDiffer)
        events, self.events = self.events, []
        for module, side, args, output in events:
            trees.fire(module, side, args, output)

    # --- answers ---------------------------------------------------------------------------------

    def call(self, thing: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not self._is_function(thing):
            raise Over("rules", "a call of what is no function")
        return thing(*args, **kwargs)

    def forward_mine(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not isinstance(module, nn.Module):
            raise Over("rules", "a call of what is no module")
        return module(*args, **kwargs)

    def method(self, owner: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if name not in self.methods.get(self.number(owner) or 0, ()):
            raise Over("rules", f"a call of a method that was not offered: {str(name)[:40]!r}")
        return getattr(owner, name)(*args, **kwargs)

    def do(self, name: str, thing: Any) -> Any:
        offered = self.methods.get(self.number(thing) or 0, ())
        if f"__{name}__" not in offered or name not in ("iter", "next", "len"):
            raise Over("rules", f"a question that was not offered: {str(name)[:40]!r}")
        return {"iter": iter, "next": next, "len": len}[name](thing)

    def stepped(self, optimizer: int, found: list[tuple[int, Tensor | None]]) -> None:
        known = self.optimizers.setdefault(optimizer, claims.Optimizer())
        known.stepped(self.slots, found, internals.optimizer_hooks())

    answers = Peer.answers | {
        "call": call, "forward": forward_mine, "method": method, "do": do, "stepped": stepped,
    }  # fmt: skip

    @contextlib.contextmanager
    def answering(self, head: dict[str, Any], reader: Reader, reply: dict[str, Any]) -> Iterator[None]:
        with torch.set_grad_enabled(bool(head["grad"])):
            yield

    def closing(self, writer: Writer, reply: dict[str, Any], value: Any) -> None:
        if found := files.named([value]):
            reply["files"] = writer.value(found)

    def _is_function(self, thing: Any) -> bool:
        return "__call__" in self.methods.get(self.number(thing) or 0, ())

    # --- objects ---------------------------------------------------------------------------------

    def describe(self, writer: Writer, value: Any) -> Any:
        if isinstance(value, torch.Generator):
            return self._generator(writer, value)
        if isinstance(value, GPT2Config):
            return ["o", self.add(value), {"kind": "config", "fields": writer.value(vars(value))}]
        if isinstance(value, type):
            return ["o", self.add(value, lasting=True), self._class(writer, value)]
        if isinstance(value, tuple):
            return writer.value(tuple(value))
        if hasattr(value, "__next__"):
            return ["o", self._offer(value, "__next__", "__iter__"), {"kind": "iterator"}]
        if callable(value):
            name, signature = getattr(value, "__name__", "function"), standins.signature_of(value, writer)
            about = {"kind": "function", "name": name, "signature": signature}
            return ["o", self._offer(value, "__call__"), about]
        kind = type(value)
        methods = [name for name in ("__len__", "__iter__") if hasattr(kind, name)]
        if not kind.__module__.startswith("torch."):
            methods += [n for n in dir(kind) if not n.startswith("_") and callable(getattr(kind, n))]
        data = {k: v for k, v in vars(value).items() if not k.startswith("_") and _is_plain(v)}
        about = {"kind": "object", "name": kind.__name__, "methods": methods, "data": writer.value(data)}
        return ["o", self._offer(value, *methods), about]

    def _offer(self, value: Any, *methods: str) -> int:
        number = self.add(value)
        self.methods[number] = methods
        return number

    def _generator(self, writer: Writer, generator: torch.Generator) -> Any:
        number = self.number(generator)
        number = self.add(generator) if number is None else number
        state = writer.tensor(generator.get_state())
        torch.rand(1, generator=generator)  # moves on whatever the learner's code does with it
        return ["generator", number, state]

    def _class(self, writer: Writer, kind: type) -> dict[str, Any]:
        if not issubclass(kind, nn.Module):
            raise Unknown(f"the class {kind.__name__}")
        forward = kind.forward if kind.forward is not nn.Module.forward else None
        signature = forward and (standins.signature_of(forward, writer) or [])[1:]
        return {"kind": "class", "name": kind.__name__, "forward": signature, "part": _part(kind)}

    def attributes(self, module: nn.Module) -> list[str]:
        own = {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training"}
        return [k for k, v in own.items() if _is_plain(v) or isinstance(v, GPT2Config)]

    def make(self, reader: Reader, number: int, about: dict[str, Any]) -> Any:
        kind = about["kind"]
        if kind == "function":
            signature = standins.signature(about["signature"], reader)
            if about["lasting"] is True:
                self.lasting.add(number)
            return RemoteFunction(self, number, str(about["name"])[:100], signature)
        if kind == "class":
            bases = [reader.value(base) for base in about["bases"]]
            forward = standins.signature(about["forward"], reader)
            made = standins.make_class(
                self, number, str(about["name"])[:100], bases, module=about["module"] is True,
                forward=forward, methods=[str(m) for m in about["methods"]],
            )  # fmt: skip
            self.lasting.add(number)
            return made
        if kind == "object":
            of = reader.value(about["class"])
            if not isinstance(of, RemoteClass) or issubclass(of, RemoteModule):
                raise ValueError("an object of no class")
            made = object.__new__(of)
            object.__setattr__(made, "_number", number)
            return made
        if kind == "iterator":
            return RemoteIterator(self, number)
        raise ValueError(f"an object of the kind {str(kind)[:20]!r}")

    @contextlib.contextmanager
    def by_the_rules(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            raise Over("rules", f"{type(error).__name__}: {str(error)[:200]}") from error


def _modes() -> list[Any]:
    """The modes that a check has switched on, without the one that every message knows."""
    return [m for m in internals.function_modes() if type(m).__module__ != elsewhere.__name__]


def _is_step(step: Any) -> bool:
    """Whether this is what common.testing.recording notes of a step."""
    kinds = {"ids": Tensor, "before": dict, "random": Tensor, "training": bool, "error": Tensor, "stale": bool}
    return (
        isinstance(step, dict)
        and step.keys() == kinds.keys()
        and all(isinstance(step[name], kind) for name, kind in kinds.items())
        and all(isinstance(n, str) and isinstance(p, Tensor) for n, p in step["before"].items())
    )


def earlier(problem: Problem) -> dict[str, str]:
    """What `problem(N)` gives in a solution of this problem: the references of those before it, by key."""
    if problem.is_interview:
        return {}
    return {p.key: p.reference_text for p in problems() if not p.is_interview and p.key < problem.key}


def library(problem: Problem) -> dict[str, str]:
    """The text of what `common` offers a solution of this problem, by module."""
    offered = []
    if problem.key != "09":
        offered.append("config")
    if not problem.is_interview and problem.key >= "14":
        offered += ["errors", "text", "text/tokenizer"]
    found = {}
    for name in offered:
        path = COMMON / f"{name}.py" if (COMMON / f"{name}.py").is_file() else COMMON / name / "__init__.py"
        found[f"common.{name.replace('/', '.')}"] = path.read_text(encoding="utf-8")
    return found


def _part(kind: type) -> list[str] | None:
    """The problem and name of a class that a reference defines."""
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    found = next((p for p in problems() if file and str(p.reference) == file), None)
    return [found.key, kind.__name__] if found else None


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def _overwrite(tensor: Tensor, new: Tensor) -> None:
    if (tensor.shape, tensor.dtype) == (new.shape, new.dtype):
        with torch.no_grad():
            tensor.copy_(new)


def _refill(container: Any, content: Any) -> None:
    if isinstance(container, list) and isinstance(content, list):
        container[:] = content
    elif isinstance(container, dict) and isinstance(content, Mapping):
        container.clear()
        container.update(content)
