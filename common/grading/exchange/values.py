"""What a message may hold, as JSON: plain Python values, tensors, and numbers that stand for objects.

None, bools, numbers and strings are written as they are, everything else as a list with its kind in front:

    ["l", ...] list   ["t", ...] tuple   ["d", [key, value], ...] dict   ["s", ...] set   ["b", text] bytes
    ["x", dtype, shape, strides, offset, flags]     a tensor; its bytes follow the message's head
    ["o", number, description]                      an object; the description comes with its first mention
    ["p", number]                                   a tensor that both sides hold (slots.py)
"""

from __future__ import annotations

import math
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import numpy
import torch
from torch import Tensor

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.bool,
        torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
    )
}  # fmt: skip
NAMES = {dtype: name for name, dtype in DTYPES.items()}
_NUMPY = {"float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64", "uint8"}
NEEDS_GRAD, ELSEWHERE = 1, 2  # flags of a tensor
_IS_ELSEWHERE = "_is_elsewhere"  # the attribute that common.testing.elsewhere marks a tensor with
_MOST_NUMBERS = 1 << 22  # in a tensor
_MOST_VALUES = 1 << 20  # in a message
_LONGEST_INT = 1 << 256


class Unknown(TypeError):
    """A value that no message can hold."""


class Writer:
    """Turns the values of one message into JSON and bytes.

    Args:
        other: writes what is no plain value; gets the writer and the value.
    """

    def __init__(self, other: Callable[[Writer, Any], Any]) -> None:
        self.other = other
        self.body: list[bytes] = []
        self.size = 0
        self.plain: list[Tensor] = []  # the tensors that are no slots, in the message's order
        self.needing: list[Tensor] = []  # those of them that need a gradient
        self.containers: list[Any] = []  # lists and dicts, in the message's order
        self.elsewhere = False  # something lies on the device that common.testing.elsewhere invents

    def value(self, value: Any) -> Any:
        """The JSON for a value."""
        kind = type(value)
        if value is None or kind in (bool, str, float):
            return value
        if kind is int:
            return value if abs(value) < _LONGEST_INT else ["int", hex(value)]
        if kind is list:
            self.containers.append(value)
            return ["l", *map(self.value, value)]
        if kind is tuple or kind is torch.Size:
            return ["t", *map(self.value, value)]
        if kind in (dict, OrderedDict, defaultdict):
            self.containers.append(value)
            return ["d", *([self.value(k), self.value(v)] for k, v in value.items())]
        if kind in (set, frozenset):
            return ["s", *map(self.value, value)]
        if kind is bytes:
            return ["b", value.decode("latin-1")]
        if kind is torch.dtype:
            return ["dtype", NAMES[value]]
        if kind is torch.device:
            self.elsewhere |= value.type == "meta"
            return ["device", str(value)]
        if kind is slice:
            return ["slice", *map(self.value, (value.start, value.stop, value.step))]
        if kind is range:
            return ["range", value.start, value.stop, value.step]
        return self.other(self, value)

    def tensor(self, tensor: Tensor, flags: int = 0) -> list[Any]:
        """A tensor by its numbers; its strides too where they are not the plain ones."""
        if tensor.dtype not in NAMES or tensor.is_sparse or tensor.is_quantized:
            raise Unknown(f"a tensor of type {tensor.dtype}")
        name, shape = NAMES[tensor.dtype], [*tensor.shape]
        plain = tensor.is_contiguous()
        strides = None if plain or 0 in tensor.stride() else [*tensor.stride()]
        self.body.append(data := data_of(tensor))
        self.size += len(data)
        self.elsewhere |= bool(flags & ELSEWHERE)
        return ["x", name, shape, strides, self.size - len(data), flags]

    def array(self, array: numpy.ndarray) -> list[Any]:
        """A NumPy array, by a tensor."""
        if array.dtype.name not in _NUMPY:
            raise Unknown(f"an array of type {array.dtype}")
        return [
            "array",
            self.tensor(torch.from_numpy(numpy.ascontiguousarray(array)).reshape(array.shape)),
        ]


class Reader:
    """Turns JSON and bytes into values again; whatever does not look like the above raises an ordinary error.

    Args:
        other: reads what stands for no plain value; gets the reader and the list.
        needs: gets each tensor that needs a gradient, and returns what stands for it.
    """

    def __init__(
        self,
        data: memoryview,
        other: Callable[[Reader, list[Any]], Any],
        needs: Callable[[Reader, Tensor], Tensor],
    ) -> None:
        self.data, self.other, self.needs = data, other, needs
        self.count = 0
        self.needing: list[Tensor] = []  # the tensors that need a gradient, in the message's order
        self.plain: list[Tensor] = []  # all tensors that are no slots, in the message's order
        self.containers: list[Any] = []  # lists and dicts, in the message's order

    def value(self, node: Any) -> Any:
        """The value that a piece of JSON stands for."""
        self.count += 1
        if self.count > _MOST_VALUES:
            raise ValueError("too many values in one message")
        if not isinstance(node, list):
            if isinstance(node, dict):
                raise ValueError("a JSON object where a value should be")
            return node
        kind, *rest = node
        if kind == "l":
            self.containers.append(items := [])
            items += map(self.value, rest)
            return items
        if kind == "t":
            return tuple(map(self.value, rest))
        if kind == "d":
            self.containers.append(table := {})
            table.update((self.value(k), self.value(v)) for k, v in rest)
            return table
        if kind == "s":
            return {*map(self.value, rest)}
        if kind == "b":
            return rest[0].encode("latin-1")
        if kind == "x":
            return self._flagged(node)
        if kind == "array":
            return self.tensor(rest[0]).numpy()
        if kind == "dtype":
            return DTYPES[rest[0]]
        if kind == "device":
            return torch.device(rest[0])
        if kind == "slice":
            return slice(*map(self.value, rest))
        if kind == "range":
            found = range(*(number(n) for n in rest))
            if len(found) > _MOST_VALUES:
                raise ValueError(f"a range of {len(found):,} numbers")
            return found
        if kind == "int":
            return int(rest[0], 16)
        return self.other(self, node)

    def tensor(self, node: list[Any]) -> Tensor:
        """A new tensor with these numbers, without a gradient."""
        kind, name, shape, strides, offset, _ = node
        dtype, shape = DTYPES[name], [number(n, 0) for n in shape]
        count = math.prod(shape)
        if kind != "x" or len(shape) > 16 or count > _MOST_NUMBERS:
            raise ValueError(f"a tensor of shape {shape}")
        size, start = count * dtype.itemsize, number(offset, 0)
        if start + size > len(self.data):
            raise ValueError("a tensor without its numbers")
        tensor = tensor_of(bytearray(self.data[start : start + size]), dtype, shape)
        if strides is None:
            return tensor
        steps = [number(n, 1) for n in strides]
        if sum((n - 1) * step for n, step in zip(shape, steps, strict=True)) >= _MOST_NUMBERS:
            raise ValueError(f"a tensor that reaches too far: shape {shape}, strides {steps}")
        return torch.empty_strided(shape, steps, dtype=dtype).copy_(tensor)

    def _flagged(self, node: list[Any]) -> Tensor:
        tensor, flags = self.tensor(node), node[5]
        if flags & NEEDS_GRAD:
            tensor = self.needs(self, tensor)
            self.needing.append(tensor)
        if flags & ELSEWHERE:
            mark_elsewhere(tensor)
        self.plain.append(tensor)
        return tensor


def is_elsewhere(tensor: Tensor) -> bool:
    """Whether it lies on the second device that common.testing.elsewhere invents."""
    return bool(getattr(tensor, _IS_ELSEWHERE, False))


def mark_elsewhere(tensor: Tensor, *, there: bool = True) -> None:
    """Say that it lies there, or no longer does."""
    setattr(tensor, _IS_ELSEWHERE, there)


def data_of(tensor: Tensor) -> bytes:
    """A tensor's numbers in the order of its axes."""
    tensor = tensor.detach()
    if tensor.dtype == torch.bfloat16:
        tensor = tensor.view(torch.int16)
    return tensor.numpy().tobytes()


def tensor_of(data: bytearray, dtype: torch.dtype, shape: list[int]) -> Tensor:
    """The tensor with these numbers, which it takes over."""
    if dtype == torch.bfloat16:
        return tensor_of(data, torch.int16, shape).view(torch.bfloat16).clone()
    if dtype == torch.bool:  # a byte that is neither 0 nor 1 would be no bool
        return tensor_of(data, torch.uint8, shape) != 0
    # By way of NumPy: torch.frombuffer(...).reshape(...) would be a view, on which detach_() is refused.
    return torch.from_numpy(numpy.frombuffer(data, dtype=NAMES[dtype]).reshape(shape))


def number(value: Any, least: int | None = None) -> int:
    """An int of a reasonable size."""
    if type(value) is not int or abs(value) > 1 << 40 or (least is not None and value < least):
        raise ValueError(f"{str(value)[:40]!r} where an int should be")
    return value
