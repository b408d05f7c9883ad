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
import operator
import random
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from . import claims, hub
from .files import Copies
from .learners_file import LearnersFile
from .peer import Peer
from .values import Reader, Writer, data_of, mark_elsewhere
from .wire import Wire

_DO: dict[str, Callable[..., Any]] = {
    "eq": operator.eq, "hash": hash, "len": len, "bool": bool, "repr": repr, "contains": operator.contains,
    "getitem": operator.getitem, "setitem": operator.setitem, "iter": iter, "next": next, "deepcopy": copy.deepcopy,
}  # fmt: skip
_MOST_PRINTED = 10_000  # characters that go with one answer
_WATCHED = 200  # tensors and containers that are looked at after each call
_RUNS = ("call", "forward", "method", "do")  # questions whose answers may be one object twice


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


class Agent(LearnersFile):
    """Answers for one submission to one problem.

    Args:
        elsewhere, recording: the modules of these names in common.testing.
        folder: where files of the checks may be put.
    """

    may_look = False

    def __init__(
        self, wire: Wire, elsewhere: ModuleType, recording: ModuleType, folder: Path
    ) -> None:
        super().__init__(wire)
        self.elsewhere, self.recording = elsewhere, recording
        self.copies = Copies(folder)
        self.special = {"DevicesDiffer": elsewhere.DevicesDiffer}
        self.printed = _Printed()
        self.lent: list[
            tuple[Any, list[Any]]
        ] = []  # lists and dicts of the other side's, and what they held
        self.watched: list[tuple[Tensor, int]] = []  # tensors that crossed, with their version
        self.structures: dict[int, claims.Structure] = {}  # of the other side's modules
        self.given_out: dict[
            int, tuple[Any, Any, int]
        ] = {}  # answers by identity: what they held, a number

    def serve(self) -> None:
        """Answer until the other side ends it."""
        sys.stdout = self.printed
        sys.breakpointhook = _no_terminal  # ty: ignore[invalid-assignment]  # it knows one such function
        while True:
            self.serve_one()

    def begin(self) -> None:
        """A new check: forget the last one, and put back what a file may have changed for all of torch."""
        self.fresh()
        for table in (self.lent, self.watched, self.structures, self.given_out):
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
        "load": LearnersFile.load, "begin": begin, "attribute": attribute, "call": call, "forward": call,
        "record": record, "method": method, "get": get, "set": set, "delete": delete, "do": do,
    }  # fmt: skip

    @contextlib.contextmanager
    def answering(
        self, head: dict[str, Any], reader: Reader, reply: dict[str, Any]
    ) -> Generator[None]:
        self._lend(reader)
        given = [(t, data_of(t)) for t in reader.plain]
        self.watched += [(t, _version(t)) for t in reader.plain]
        self.copies.take(reader.value(head["files"]) if "files" in head else {})
        reply |= {"events": [], "changed": [], "same": head["ask"] in _RUNS}
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

    def _conditions(
        self, head: dict[str, Any], reader: Reader, reply: dict[str, Any]
    ) -> Iterator[Any]:
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
            self.special["LocalEntryNotFoundError"] = hub.not_there()
            yield hub.standing_in(reader.value(download), self.copies.here(cache), [self.module])

    def closing(self, writer: Writer, reply: dict[str, Any], value: Any) -> None:
        reply["same"] = self._same(writer, reply, value) if reply["same"] else None
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

    def _same(self, writer: Writer, reply: dict[str, Any], value: Any) -> int | None:
        """A number for an object that is an answer: the one it had if it was one before and holds the same."""
        node = reply.get("value")
        if node is None or type(value) not in (list, dict, Tensor):
            return None  # it is another kind of thing, or no message can hold it
        if node[0] not in ("l", "d", "x") or writer.needing:
            return None
        holds, place = (node, b"".join(writer.body)), claims.place_of(value)
        known = self.given_out.get(place)
        if known is None and len(self.given_out) >= _WATCHED:
            return None
        if known is None or known[1] != holds:
            self.next += 2
            self.given_out[place] = value, holds, self.next
        return self.given_out[place][2]

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
    def _listening(self, numbers: list[int], events: list[Any]) -> Generator[None]:
        """Note what goes into and comes out of these modules."""
        handles = []
        for number in numbers:
            part = self.objects[number]

            def before(_: nn.Module, args: Any, number: int = number) -> None:
                events.append((number, "before", claims.as_now(args), None))

            def after(_: nn.Module, args: Any, output: Any, number: int = number) -> None:
                events.append((number, "after", *map(claims.as_now, (args, output))))

            handles += [part.register_forward_pre_hook(before), part.register_forward_hook(after)]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextlib.contextmanager
    def _elsewhere(self, numbers: list[int]) -> Generator[None]:
        """The second device that common.testing.elsewhere invents; these tensors lie on it."""
        marked = [self.slots[number].now() for number in numbers]
        for tensor in marked:
            mark_elsewhere(tensor)
        try:
            with self.elsewhere.elsewhere():
                yield
        finally:
            for tensor in marked:
                mark_elsewhere(tensor, there=False)

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

    # --- manners ---------------------------------------------------------------------------------

    def by_the_rules(self) -> Any:
        return contextlib.nullcontext()


def _version(tensor: Tensor) -> int:
    """How often it was written to; tensors of inference mode do not count that."""
    return 0 if tensor.is_inference() else tensor._version


def _held(container: Any) -> list[Any]:
    return (
        [*itertools.chain(container, container.values())]
        if isinstance(container, dict)
        else [*container]
    )


def _no_terminal(*_: Any, **__: Any) -> NoReturn:
    raise NoTerminal
