"""A second device for a machine that has none: tensors on it refuse to mix with the CPU's.

Values are computed on the CPU all the same, so code that looks at them runs too, and none of the
imports that torch's "meta" device brings (0.4 s) are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

ELSEWHERE = torch.device("meta")  # a name that every build of torch knows

_MARK = "_is_elsewhere"
_MAY_MIX = {"copy_", "__getitem__", "__setitem__", "__get__", "__set__", "to", "cpu"}


class DevicesDiffer(RuntimeError):
    """What a GPU would say when it is handed a CPU tensor."""


class Mode(TorchFunctionMode):
    def __init__(self) -> None:
        super().__init__()
        self.sent: dict[
            int, Tensor
        ] = {}  # by where their numbers lie, which is theirs while they are held here

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        tensors = [t for t in _flat((args, kwargs)) if isinstance(t, Tensor)]
        for tensor in tensors:  # nn.Parameter(tensor) asks nobody and lies where the tensor lies
            if isinstance(tensor, nn.Parameter) and tensor.data_ptr() in self.sent:
                _mark(tensor)
        if func == torch.Tensor.device.__get__:
            return ELSEWHERE if is_elsewhere(args[0]) else func(*args)
        moved, args, kwargs = _without_elsewhere(args, kwargs)
        there = [is_elsewhere(t) for t in tensors if t.ndim > 0]
        if any(there) and not all(there) and name not in _MAY_MIX:
            raise DevicesDiffer(
                f"{name}: expected all tensors on one device, but one is still on the CPU"
            )
        result = func(*args, **kwargs)
        to_cpu = name == "cpu" or (name == "to" and not moved and _names_a_device(args, kwargs))
        if moved or (any(map(is_elsewhere, tensors)) and not to_cpu):
            if name == "to" and any(result is t for t in tensors) and not is_elsewhere(result):
                result = result.clone()  # the CPU's own tensor stays where it is
            _mark(result)
        elif to_cpu and isinstance(result, Tensor) and is_elsewhere(result):
            result = result.clone()  # .cpu() of a CPU tensor is that very tensor, mark and all
        return result


def is_elsewhere(tensor: Tensor) -> bool:
    return getattr(tensor, _MARK, False)


@contextmanager
def elsewhere(module: nn.Module | None = None) -> Generator[Callable[[Tensor], Tensor]]:
    """Code inside runs with `ELSEWHERE` as a real device; yields a function that sends a tensor there.

    Args:
        module: moved there, parameters and buffers, as module.to(device) would.
    """
    for tensor in [*module.parameters(), *module.buffers()] if module else []:
        setattr(tensor, _MARK, True)

    mode = Mode()

    def send(tensor: Tensor) -> Tensor:
        tensor = tensor.clone()
        setattr(tensor, _MARK, True)
        mode.sent[tensor.data_ptr()] = tensor
        return tensor

    with mode:
        yield send


def _without_elsewhere(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[bool, tuple[Any, ...], dict[str, Any]]:
    """Replace our device's name among the arguments by the CPU's; whether it was there, and the rest."""

    def ours(value: Any) -> bool:
        return (isinstance(value, torch.device) and value == ELSEWHERE) or (
            isinstance(value, str) and value == ELSEWHERE.type
        )

    moved = any(map(ours, args)) or ours(kwargs.get("device"))
    args = tuple(torch.device("cpu") if ours(a) else a for a in args)
    if ours(kwargs.get("device")):
        kwargs["device"] = torch.device("cpu")
    return moved, args, kwargs


def _names_a_device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    return "device" in kwargs or any(isinstance(a, str | torch.device) for a in args[1:])


def _mark(result: Any) -> None:
    for value in _flat(result):
        if isinstance(value, Tensor):
            setattr(value, _MARK, True)


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, tuple | list):
        for part in value:
            yield from _flat(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from _flat(part)
    else:
        yield value
