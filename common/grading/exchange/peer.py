"""One side of the exchange: it asks the other side, and answers what it is asked meanwhile.

Both sides take turns: while one waits for an answer it serves the other's questions, such as a call of a
function that it handed over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy
import torch
from torch import Tensor, nn

from . import errors, trees
from .gradients import Tie
from .shared import Shared
from .slots import Slot
from .standins import RemoteModule
from .values import ELSEWHERE, NEEDS_GRAD, Reader, Unknown, Writer, is_elsewhere, mark_elsewhere
from .wire import Over, Wire


class Peer(Shared):
    """What both sides have in common: putting questions and answering them."""

    may_look = True  # at attributes of the other side's objects that it did not describe

    def __init__(self, wire: Wire, first: int) -> None:
        super().__init__(first)
        self.wire = wire
        # Exceptions beyond the builtins that may cross.
        self.special: dict[str, type[BaseException]] = {}
        # Results and what they depend on.
        self.calls: dict[int, tuple[list[Tensor], list[Tensor]]] = {}
        self.errors: dict[int, BaseException] = {}  # of this side, on their way through the other
        # Came with the question that is being answered, and need a gradient.
        self.given: list[Tensor] = []

    def fresh(self) -> None:
        super().fresh()
        self.calls.clear()
        self.errors.clear()

    # --- values ----------------------------------------------------------------------------------

    def write(self, writer: Writer, value: Any) -> Any:
        """The JSON for what is no plain value."""
        if isinstance(value, Tensor):
            return self._tensor(writer, value)
        if isinstance(value, numpy.ndarray):
            return writer.array(value)
        if isinstance(value, numpy.generic):
            return writer.value(value.item())
        number = self.number(value)
        if number is not None:
            return ["o", number]
        if isinstance(value, nn.Module):
            node = trees.describe(self, writer, value)
            return ["o", node[0], {"kind": "module", "tree": node}]
        return self.describe(writer, value)

    def _tensor(self, writer: Writer, tensor: Tensor) -> Any:
        number = self.slots.number(tensor)
        came = any(tensor is t for t in self.given)
        # A view that is made without gradients calls itself a leaf, and is none that anybody could optimize.
        if (
            number is None
            and tensor.requires_grad
            and tensor.is_leaf
            and not came
            and not tensor._is_view()
        ):
            number = self.slot(tensor, loose=not isinstance(tensor, nn.Parameter))
        if number is not None:
            return ["p", number, isinstance(tensor, nn.Parameter)]
        needs = torch.is_grad_enabled() and (
            tensor.grad_fn is not None or (came and tensor.requires_grad)
        )
        if needs:
            writer.needing.append(tensor)
        writer.plain.append(tensor)
        there = is_elsewhere(tensor)
        return writer.tensor(tensor, NEEDS_GRAD * needs + ELSEWHERE * there)

    def read(self, reader: Reader, node: list[Any]) -> Any:
        """The value for JSON that stands for no plain value."""
        kind, number, *more = node
        if kind == "p":
            if more[0]:
                return self.parameter(number)
            if number not in self.slots.known:
                self._theirs(number, Slot(torch.empty(0), loose=True))
            return self.slots[number].now()
        if kind != "o":
            raise ValueError(f"a value of the kind {str(kind)[:20]!r}")
        if not more or number in self.objects:
            return self.named(number)
        if type(number) is not int or self.is_mine(number):
            raise ValueError(f"{str(number)[:40]!r} is no number of an object")
        about = more[0]
        if about["kind"] == "module":
            module = trees.build(self, reader, about["tree"])
            self.built(module)
            return module
        self.objects[number] = made = self.make(reader, number, about)
        return made

    def describe(self, writer: Writer, value: Any) -> Any:
        """The JSON for an object of this side."""
        raise Unknown(f"a value of type {type(value).__name__}")

    def make(self, reader: Reader, number: int, about: dict[str, Any]) -> Any:
        """What stands here for an object of the other side."""
        raise NotImplementedError

    def attributes(self, module: nn.Module) -> list[str]:
        """The names of a module's attributes that the other side is told."""
        return []

    # --- asking ----------------------------------------------------------------------------------

    def forward(self, module: RemoteModule, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a module of the other side."""
        return self.ask("forward", module, args, kwargs)

    def ask(self, what: str, *args: Any) -> Any:
        """Put a question and wait for the answer.

        Raises:
            Over: the other side does not keep to the rules, or is gone. Else what it raised.
        """
        writer = Writer(self.write)
        question = {
            "ask": what,
            "args": [writer.value(a) for a in args],
            "grad": torch.is_grad_enabled(),
        }
        self._send(writer, question | self.details(writer, what, args))
        try:
            return self._hear(writer.needing)
        except StopIteration as error:
            if args[:1] == ("next",):
                raise
            # Where `map` or `zip` calls a function, this would quietly be the end of the loop.
            raise RuntimeError(f"StopIteration: {error}") from error

    def _hear(self, inputs: list[Tensor]) -> Any:
        while True:
            head, data = self.wire.receive()
            try:
                asks = "ask" in head
            except TypeError:
                raise Over("rules", "a message that is neither question nor answer") from None
            if asks:
                self._answer(head, data)
            else:
                return self._take(head, data, inputs)

    def _take(self, head: dict[str, Any], data: memoryview, inputs: list[Tensor]) -> Any:
        """Read an answer."""
        depends = [*inputs, *self.slots.learning()] if torch.is_grad_enabled() else []

        def tie(reader: Reader, tensor: Tensor) -> Tensor:
            if not depends:
                return tensor
            index = len(reader.needing)
            return Tie.apply(self, head["call"], index, [tensor], *depends)

        reader = Reader(data, self.read, tie)
        with self.by_the_rules():
            value = reader.value(head.get("value"))
            error = self._error(head["error"]) if "error" in head else None
            self._take_changes(reader, head)
            self.heard(reader, head)
        self.after(head)
        if error:
            raise error
        return value

    def _error(self, node: dict[str, Any]) -> BaseException:
        if "mine" in node:
            return self.errors[node["mine"]]
        error = errors.read(node, self.special)
        vars(error)["number"] = node["number"]
        return error

    # --- answering -------------------------------------------------------------------------------

    def serve_one(self) -> None:
        """Answer the next question."""
        head, data = self.wire.receive()
        self._answer(head, data)

    def _answer(self, head: dict[str, Any], data: memoryview) -> None:
        reader = Reader(data, self.read, lambda _, tensor: tensor.requires_grad_())
        with self.by_the_rules():
            args = [reader.value(a) for a in head["args"]]
            self._take_changes(reader, head)
            answer, grad = self.answers[head["ask"]], head["grad"]
        writer, reply = Writer(self.write), {}
        before, given, self.given = torch.is_grad_enabled(), self.given, reader.needing
        self.next += 2
        call = self.next
        depends = [*reader.needing, *self.slots.learning()] if grad else []
        self.calls[call] = writer.needing, depends
        value = None
        try:
            with self.answering(head, reader, reply):
                value = answer(self, *args)
            torch.set_grad_enabled(True)
            reply["value"] = writer.value(value)
        except Over:
            raise
        except BaseException as error:
            reply["error"] = self._written(error)
        finally:
            torch.set_grad_enabled(before)
            self.given = given
        if writer.needing:
            reply["call"] = call
        else:
            self.calls.pop(call, None)
        with torch.no_grad():
            self.closing(writer, reply, value)
        self._send(writer, reply)

    def _written(self, error: BaseException) -> dict[str, Any]:
        """An exception as JSON; one that came from the other side goes back as itself."""
        theirs = getattr(error, "number", None)
        if theirs is not None and not self.is_mine(theirs):
            return {"mine": theirs}
        self.next += 2
        self.errors[self.next] = error
        return errors.written(error, self.is_learners) | {"number": self.next}

    def backward(self, call: int, index: int, gradient: Tensor) -> list[Tensor | None]:
        """The gradients of what a result depends on."""
        results, inputs = self.calls[call]
        if is_elsewhere(results[index]):
            mark_elsewhere(gradient)
        found = torch.autograd.grad(
            results[index], inputs, gradient, retain_graph=True, allow_unused=True
        )
        return [g if g is None else g.detach() for g in found]

    answers: ClassVar[dict[str, Callable[..., Any]]] = {"backward": backward}

    # --- what changes meanwhile ------------------------------------------------------------------

    def _send(self, writer: Writer, head: dict[str, Any]) -> None:
        modes = [
            (number, module.training)
            for number, known in self.modes.items()
            if (module := self.objects.get(number)) is not None and module.training != known
        ]
        self.modes.update(modes)
        self.wire.send(head | {"slots": self.slots.changes(writer), "modes": modes}, writer.body)

    def _take_changes(self, reader: Reader, head: dict[str, Any]) -> None:
        self.slots.take(reader, head["slots"], self.accepts)
        for number, training in head["modes"]:
            self.named(number).training = self.modes[number] = bool(training)

    # --- for the two sides to fill in ------------------------------------------------------------

    def by_the_rules(self) -> Any:
        """A block in which an error means that the other side broke the rules."""
        raise NotImplementedError

    def answering(self, head: dict[str, Any], reader: Reader, reply: dict[str, Any]) -> Any:
        """The surroundings in which a question is answered."""
        raise NotImplementedError

    def details(self, writer: Writer, what: str, args: tuple[Any, ...]) -> dict[str, Any]:
        """What goes with a question beside its arguments."""
        return {}

    def accepts(self, slot: Slot) -> bool:
        """Whether the other side may write to a tensor that both hold."""
        return True

    def closing(self, writer: Writer, reply: dict[str, Any], value: Any) -> None:
        """Write what goes with an answer beside its value."""

    def built(self, module: nn.Module) -> None:
        """A module of the other side was built here."""

    def recorded(self, function: Any, settings: dict[str, Any]) -> Any:
        raise NotImplementedError

    def heard(self, reader: Reader, head: dict[str, Any]) -> None:
        """Read what came with an answer beside its value."""

    def after(self, head: dict[str, Any]) -> None:
        """Do what an answer entails; here a check's own code may run."""

    def is_learners(self, frame: Any) -> bool:
        return False
