"""The judge's side: a module that stands for the student's, on which the checks run as they are."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from common import internals
from common.course.catalogue import Problem
from common.grading.exchange import claims, files, hub, trees
from common.grading.exchange.believed import Believed
from common.grading.exchange.judges_things import JudgesThings
from common.grading.exchange.slots import Slot
from common.grading.exchange.standins import RemoteClass, RemoteFunction, RemoteObject
from common.grading.exchange.values import Reader, Writer, is_elsewhere, number
from common.grading.exchange.wire import Over, Wire
from common.grading.libraries import earlier, library, packages
from common.judging.checks import Check, NoTerminal
from common.judging.loading import LoadFailure
from common.judging.records import Outcome, Status
from common.testing import elsewhere
from common.testing.elsewhere import DevicesDiffer

# The functions and classes whose business is to change what they are given. All others get the checks' own
# tensors, modules, lists and dicts to look at: what a student's process says it did to them is a claim.
MAY_CHANGE = {"11": {"init_weights"}, "16": {"pretrain"}, "interview-04": {"Adam", "AdamW"},
              "interview-20": {"train_step"}}  # fmt: skip
_RUNS = {"call", "forward", "method", "do", "record"}  # a learner's code, which may draw numbers


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


class Judge(JudgesThings):
    """Puts the checks' questions to one submission.

    What the student's process says to have changed, and may not change, is left as it is, so that nothing is
    computed from it, and `claimed` says so. With `believes` the check hears it as it would in one process: one
    that asks whether an input was left alone has to pass in both ways.
    """

    def __init__(self, wire: Wire, problem: Problem) -> None:
        super().__init__(wire, problem)
        self.special = {"DevicesDiffer": DevicesDiffer, "NoTerminal": NoTerminal}
        self.names: dict[str, Any] = {}  # functions and classes that were asked for
        self.lent: list[Any] = []  # the checks' lists and dicts that went along
        self.crossed: list[Tensor] = []  # tensors that went along or came back, in their order
        self.believed = Believed()
        self.results: dict[int, Any] = {}  # answers, by their number there
        self.optimizers: dict[int, claims.Optimizer] = {}
        self.events: list[Any] = []
        self.believes = self.claimed = False
        self.changing: set[int] = set()  # what MAY_CHANGE names, and what that gives, by number
        self.objection: AssertionError | None = None  # by a check's own function, and maybe caught
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
        self.believes, self.claimed, self.objection = believes, False, None
        self.changing &= self.lasting
        self.fresh()
        self.ask("begin")
        for table in (self.lent, self.crossed, self.results, self.methods, self.optimizers):
            table.clear()

    def outcome(self, check: Check, stand_in: StandIn) -> Outcome:
        """What a check gives."""
        self.begin()
        outcome = check.run(stand_in)
        if outcome.status == Status.PASSED and self.claimed:
            self.begin(believes=True)
            try:
                outcome = check.run(stand_in)
            finally:
                self.believed.undo()
        return outcome

    def attribute(self, name: str) -> Any:
        """A name of the student's module."""
        if name not in self.names:
            value = self.ask("attribute", name)
            if (
                not isinstance(value, RemoteClass | RemoteFunction)
                or value._number not in self.lasting
            ):
                if name in MAY_CHANGE.get(self.problem.key, ()):
                    self._may_change(value)
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
        if (objection := self.objection) is not None:
            self.objection = None
            raise objection
        if changes:
            self._may_change(value)
        return value

    def _may_change(self, thing: Any) -> None:
        """What such a function or object gives may change things as well: an optimizer, and its own step."""
        if isinstance(thing, RemoteObject | RemoteFunction):
            number = thing.__dict__["_number"]
            if number not in self.lasting:  # the file's other functions stay what they are
                self.changing.add(number)

    def accepts(self, slot: Slot) -> bool:
        accepted = self.changes > 0 or slot.is_new or self.believes
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
        marked = [number for number, s in slots if is_elsewhere(s.now())]
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
            if not all(claims.is_step(step) for step in steps):
                raise ValueError("a step of training that is none")
        return result, steps

    def heard(self, reader: Reader, head: dict[str, Any]) -> None:
        self.events = [
            (self.named(n), str(side), reader.value(args), reader.value(output))
            for n, side, args, output in head["events"]
        ]
        for module, *_ in self.events:
            if not isinstance(module, nn.Module):
                raise ValueError("an event of what is no module")
        self.crossed += reader.plain
        changed = [(self.crossed[number(n, 0)], reader.tensor(t)) for n, t in head["changed"]]
        contents = [(self.lent[number(n, 0)], reader.value(c)) for n, c in head["contents"]]
        structure = [(self.named(n), claims.names_of(changes)) for n, changes in head["structure"]]
        if not self.believes:
            switched = head["grad"] is not torch.is_grad_enabled()
            self.claimed |= bool(changed or contents or structure or switched)
            return
        for tensor, numbers in changed:
            self.believed.tensor(tensor, numbers)
        for container, content in contents:
            self.believed.container(container, content)
        for module, names in structure:
            claims.restructure(module, names)

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

    def _take(self, head: dict[str, Any], data: memoryview, inputs: list[Tensor]) -> Any:
        value = super()._take(head, data, inputs)
        if head.get("same") is None:
            return value
        with self.by_the_rules():
            earlier = self.results.setdefault(number(head["same"]), value)
        if earlier is value or type(earlier) is not type(value):
            return value
        self.claimed |= not self.believes
        return earlier if self.believes else value

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

    answers = JudgesThings.answers | {
        "call": call, "forward": forward_mine, "method": method, "do": do, "stepped": stepped,
    }  # fmt: skip

    @contextlib.contextmanager
    def answering(
        self, head: dict[str, Any], reader: Reader, reply: dict[str, Any]
    ) -> Generator[None]:
        with torch.set_grad_enabled(bool(head["grad"])):
            try:
                yield
            except AssertionError as error:
                self.objection = self.objection or error
                raise

    def closing(self, writer: Writer, reply: dict[str, Any], value: Any) -> None:
        if found := files.named([value]):
            reply["files"] = writer.value(found)

    def _is_function(self, thing: Any) -> bool:
        return "__call__" in self.methods.get(self.number(thing) or 0, ())

    @contextlib.contextmanager
    def by_the_rules(self) -> Generator[None]:
        try:
            yield
        except Exception as error:
            raise Over("rules", f"{type(error).__name__}: {str(error)[:200]}") from error


def _modes() -> list[Any]:
    """The modes that a check has switched on, without the one that every message knows."""
    return [m for m in internals.function_modes() if not isinstance(m, elsewhere.Mode)]
