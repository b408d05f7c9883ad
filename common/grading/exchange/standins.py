"""What stands on one side for a function, a class, an object or a module of the other."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from .peer import Peer

_KINDS = {
    kind.name: kind
    for kind in (
        inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD,
    )
}  # fmt: skip


class Opaque:
    """The default of an argument that no message can hold."""

    def __repr__(self) -> str:
        return "..."


class Remote:
    """Something of the other side, by its number there."""

    _peer: Peer
    _number: int

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self

    __copy__ = __deepcopy__


class RemoteFunction(Remote):
    """A function, or a method of an object."""

    def __init__(
        self, peer: Peer, number: int, name: str, signature: inspect.Signature | None
    ) -> None:
        self._peer, self._number, self.__name__ = peer, number, name
        if signature is not None:
            self.__signature__ = signature

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._peer.ask("call", self, args, kwargs)

    def recorded(self, **settings: Any) -> Any:
        """Call it where common.testing.recording takes notes: its result, and the notes."""
        return self._peer.recorded(self, settings)


class RemoteMethod:
    """A method by its name: one message asks for it and calls it."""

    def __init__(self, owner: Any, name: str) -> None:
        self._owner, self.__name__ = owner, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._owner._peer.ask("method", self._owner, self.__name__, args, kwargs)


class RemoteClass(type):
    """The type of classes that the other side has."""

    _peer: Peer
    _number: int
    _methods: frozenset[str]

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return cls._peer.ask("call", cls, args, kwargs)

    def __getattr__(cls, name: str) -> Any:
        return _attribute(cls, name)


class RemoteObject(Remote, metaclass=RemoteClass):
    """An object of a class that the other side has. Comparing it with plain values is no business of its own."""

    def __getattr__(self, name: str) -> Any:
        return _attribute(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._peer.ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._peer.ask("delete", self, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._peer.ask("call", self, args, kwargs)

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, RemoteObject) and bool(self._peer.ask("do", "eq", self, other))
        )

    def __hash__(self) -> int:
        return hash(self._peer.ask("do", "hash", self))

    def __len__(self) -> int:
        return operator.index(self._peer.ask("do", "len", self))

    def __bool__(self) -> bool:
        return bool(self._peer.ask("do", "bool", self))

    def __repr__(self) -> str:
        return str(self._peer.ask("do", "repr", self))

    def __getitem__(self, index: Any) -> Any:
        return self._peer.ask("do", "getitem", self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        self._peer.ask("do", "setitem", self, index, value)

    def __contains__(self, value: Any) -> bool:
        return bool(self._peer.ask("do", "contains", self, value))

    def __iter__(self) -> Iterator[Any]:
        return each(self._peer.ask("do", "iter", self))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._peer.ask("do", "deepcopy", self)


class RemoteModule(Remote, nn.Module, metaclass=RemoteClass):
    """A module of a class that the other side has; its parameters, buffers and parts are here as well."""

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return _attribute(self, name)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self._peer.ask("do", "deepcopy", self)


class Offered(Remote):
    """One of the other side's own objects: it has these methods, and nothing else is to be had of it."""

    _methods: frozenset[str]

    def __getattr__(self, name: str) -> Any:
        if name not in type(self)._methods:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return RemoteMethod(self, name)


class RemoteIterator(Remote):
    """An iterator of the other side."""

    def __init__(self, peer: Peer, number: int) -> None:
        self._peer, self._number = peer, number

    def __iter__(self) -> RemoteIterator:
        return self

    def __next__(self) -> Any:
        return self._peer.ask("do", "next", self)


def each(iterator: Any) -> Iterator[Any]:
    """A generator of what the iterator gives."""
    yield from iterator


def offered(peer: Peer, name: str, methods: list[str]) -> type[Offered]:
    """The class of an object that offers these methods, len and iteration among them if they are named."""
    special = {
        "__len__": lambda self: peer.ask("do", "len", self),
        "__iter__": lambda self: each(peer.ask("do", "iter", self)),
    }
    space: dict[str, Any] = {name: made for name, made in special.items() if name in methods}
    return type(name, (Offered,), space | {"_peer": peer, "_methods": frozenset(methods)})


def make_class(
    peer: Peer, number: int, name: str, bases: list[type], *, module: bool,
    forward: inspect.Signature | None, methods: list[str],
) -> RemoteClass:  # fmt: skip
    """A class of the other side as a type of its own, so that isinstance tells what it should."""
    least = RemoteModule if module else RemoteObject
    # A class of modules may have bases that are none. They lend it methods, which the other side has, and no
    # place here: an object of such a class answers through the exchange alone, a module has parts of its own.
    above = tuple(
        base for base in bases if isinstance(base, RemoteClass) and issubclass(base, least)
    )
    above = above or (least,)
    space: dict[str, Any] = {"_peer": peer, "_number": number, "_methods": frozenset(methods)}
    if module and forward is not None:
        space["forward"] = _forward(forward)
    made = RemoteClass(name, above, space)
    made.__module__ = "solution"
    return made


def _forward(signature: inspect.Signature) -> Any:
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._peer.forward(self, args, kwargs)

    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    vars(forward)["__signature__"] = inspect.Signature(
        [own, *signature.parameters.values()], __validate_parameters__=False
    )
    return forward


def _attribute(owner: Any, name: str) -> Any:
    if name.startswith("_") or not owner._peer.may_look:
        raise AttributeError(f"{type(owner).__name__!r} object has no attribute {name!r}")
    if name in (owner if isinstance(owner, RemoteClass) else type(owner))._methods:
        return RemoteMethod(owner, name)
    return owner._peer.ask("get", owner, name)


def signature_of(function: Any, writer: Any) -> list[Any] | None:
    """A signature as JSON; None where it cannot be told."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    return [_written(p, writer) for p in signature.parameters.values()]


def _written(parameter: inspect.Parameter, writer: Any) -> list[Any]:
    default: list[Any] = []
    if parameter.default is not inspect.Parameter.empty:
        plain = parameter.default is None or type(parameter.default) in (
            bool,
            int,
            float,
            str,
            tuple,
        )
        default = [writer.value(parameter.default)] if plain else ["..."]
        default.append(plain)
    return [parameter.name, parameter.kind.name, default]


def signature(nodes: list[Any] | None, reader: Any) -> inspect.Signature | None:
    """The signature that this JSON stands for."""
    if nodes is None:
        return None
    found = []
    for name, kind, default in nodes:
        value = inspect.Parameter.empty
        if default:
            value = reader.value(default[0]) if default[1] else Opaque()
        found.append(inspect.Parameter(name, _KINDS[kind], default=value))
    return inspect.Signature(found)
