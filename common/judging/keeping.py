"""What a file keeps from call to call: its globals, attributes of its classes, default values, caches."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor

_DEEP, _LONG = 3, 1000  # levels, and entries of each, that are looked at
_CACHED: Any = type(functools.cache(len))


def kept(module: ModuleType) -> dict[str, Any]:
    """What outlives a call, by what a learner would call it; equal as long as nothing in it has changed."""
    return {name: _content(value) for name, value in _lasting(module)}


def told_of(before: dict[str, Any], module: ModuleType) -> str:
    """What has changed since, in a few words; empty if nothing has."""
    now = kept(module)
    changed = [name for name in now if name not in before or before[name] != now[name]]
    return ", ".join(changed[:3])


def _lasting(module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name, value in [*vars(module).items()]:
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        code = isinstance(value, (type, FunctionType, _CACHED))
        if not code or value.__module__ != module.__name__:
            yield f"`{name}`, a global name", value
            if type(value).__module__ == module.__name__:
                for attribute, thing in getattr(value, "__dict__", {}).items():
                    yield f"`{name}.{attribute}`, an attribute of a global object", thing
        elif isinstance(value, type):
            for inner, thing in [*vars(value).items()]:
                if isinstance(thing, (FunctionType, _CACHED)):
                    yield from _of_function(f"{name}.{inner}", thing)
                elif not inner.startswith("__"):
                    yield f"`{name}.{inner}`, an attribute of the class", thing
        else:
            yield from _of_function(name, value)


def _of_function(name: str, function: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(function, _CACHED):
        yield f"the results that a cache keeps of `{name}`", function.cache_info().currsize
        function = function.__wrapped__
    if isinstance(function, FunctionType):
        code = function.__code__
        defaults = function.__defaults__ or ()
        named = code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount]
        given = {**dict(zip(named, defaults, strict=True)), **(function.__kwdefaults__ or {})}
        for argument, value in given.items():
            yield f"the default value of `{argument}` in `{name}`", value
        for attribute, value in vars(function).items():
            if attribute != "__wrapped__":
                yield f"`{name}.{attribute}`, an attribute of the function", value


def _content(value: Any, depth: int = 0) -> Any:
    """Equal for equal content, as far as that can be told in no time."""
    if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_meta:
        numbers = value.detach()
        return (
            id(value),
            numbers.shape,
            numbers._version,
            float(numbers.double().sum().nan_to_num()),
        )
    if depth < _DEEP and isinstance(value, dict):
        pairs = [*value.items()][:_LONG]
        return len(value), [(_content(k, depth + 1), _content(v, depth + 1)) for k, v in pairs]
    if depth < _DEEP and isinstance(value, list | tuple | set | frozenset):
        return len(value), [_content(v, depth + 1) for v in [*value][:_LONG]]
    plain = value is None or isinstance(value, bool | int | float | str | bytes)
    return value if plain else id(value)
