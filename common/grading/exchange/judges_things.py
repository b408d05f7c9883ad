"""How the checks' own things look in a message, and what stands here for the student's."""

from __future__ import annotations

import sys
from functools import cache
from typing import Any

import torch
from torch import nn

from common.config import GPT2Config
from common.course.catalogue import Problem, problems
from common.grading.exchange import standins
from common.grading.exchange.peer import Peer
from common.grading.exchange.standins import (
    RemoteClass,
    RemoteFunction,
    RemoteIterator,
    RemoteModule,
    RemoteObject,
)
from common.grading.exchange.values import Reader, Unknown, Writer
from common.grading.exchange.wire import Wire


class JudgesThings(Peer):
    """The judge's side of values that are neither plain nor tensors."""

    def __init__(self, wire: Wire, problem: Problem) -> None:
        super().__init__(wire, 0)
        self.problem = problem
        self.methods: dict[
            int, tuple[str, ...]
        ] = {}  # what may be called of the checks' own objects

    def describe(self, writer: Writer, value: Any) -> Any:
        if (part := _part(value)) and part[0] == self.problem.key:
            raise Unknown(
                f"{part[1]} of the reference itself, which could be handed back as the answer"
            )
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
            name, signature = (
                getattr(value, "__name__", "function"),
                standins.signature_of(value, writer),
            )
            about = {"kind": "function", "name": name, "signature": signature}
            return ["o", self._offer(value, "__call__"), about]
        kind = type(value)
        methods = [name for name in ("__len__", "__iter__") if hasattr(kind, name)]
        if not kind.__module__.startswith("torch."):
            methods += [
                n for n in dir(kind) if not n.startswith("_") and callable(getattr(kind, n))
            ]
        data = {k: v for k, v in vars(value).items() if not k.startswith("_") and _is_plain(v)}
        about = {
            "kind": "object",
            "name": kind.__name__,
            "methods": methods,
            "data": writer.value(data),
        }
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
        return [
            k for k, v in own.items() if _is_plain(v) or isinstance(v, GPT2Config | RemoteObject)
        ]

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


def _part(thing: Any) -> list[str] | None:
    """The problem and name of a class or function that a reference defines; of an object, those of its class."""
    thing = thing if hasattr(thing, "__name__") else type(thing)
    file = getattr(sys.modules.get(getattr(thing, "__module__", "")), "__file__", None)
    key = file and _whose(file)
    return [key, thing.__name__] if key else None


@cache
def _whose(file: str) -> str | None:
    """The key of the problem whose reference this file is."""
    return next((p.key for p in problems() if str(p.reference) == file), None)


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)
