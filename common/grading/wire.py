"""What travels between processes: JSON, with the values that a check saw as tagged data, never pickled."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from common.results import Outcome, Status
from common.testing.trace import Seen

LARGEST = 1 << 16  # elements of a tensor that are sent; of a larger one only the shape
_DTYPES = {
    str(d): d
    for d in (
        torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32,
        torch.int16, torch.int8, torch.uint8, torch.bool,
    )
}  # fmt: skip


@dataclass(frozen=True)
class Opaque:
    """A value that cannot travel; equal to none, itself included."""

    text: str

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


def pack(value: Any, depth: int = 0) -> Any:
    """A value as JSON holds it. Only exact built-in types and plain tensors keep their value."""
    kind = type(value)
    if value is None or kind is bool or kind is int or kind is str:
        if kind is str:
            return value[:2000]
        return value if kind is not int or abs(value) < 1 << 200 else {"?": "int"}
    if kind is float:
        return {"f": value.hex() if math.isfinite(value) else str(value)}
    if kind in (tuple, list, torch.Size) and depth < 6:
        name = "l" if kind is list else "t"
        return {name: [pack(v, depth + 1) for v in list(value)[:5000]]}
    if kind is dict and depth < 6:
        pairs = list(value.items())[:2000]
        return {"d": [[pack(k, depth + 1), pack(v, depth + 1)] for k, v in pairs]}
    if kind is Tensor or kind is torch.nn.Parameter:
        return _pack_tensor(value)
    if kind is torch.dtype:
        return {"dtype": str(value)}
    return {"?": kind.__name__[:100]}


def _pack_tensor(tensor: Tensor) -> Any:
    name = str(tensor.dtype)
    if tensor.numel() > LARGEST or name not in _DTYPES or tensor.layout != torch.strided:
        return {"?": f"tensor {tuple(tensor.shape)} {name}"}
    plain = tensor.detach().to("cpu").contiguous().reshape(-1)
    data = bytes(plain.view(torch.uint8).tolist()) if plain.numel() else b""
    return {"T": [name, list(tensor.shape), base64.b64encode(data).decode()]}


def unpack(data: Any, depth: int = 0) -> Any:
    """The value again. Whatever is not as `pack` writes it becomes Opaque: the sender is not trusted."""
    if data is None or isinstance(data, bool | int | str):
        return data
    if not isinstance(data, dict) or len(data) != 1 or depth > 8:
        return Opaque("malformed")
    [(tag, body)] = data.items()
    try:
        if tag == "f":
            return float.fromhex(body) if "x" in body else float(body)
        if tag == "l":
            return [unpack(v, depth + 1) for v in body]
        if tag == "t":
            return tuple(unpack(v, depth + 1) for v in body)
        if tag == "d":
            return {unpack(k, depth + 1): unpack(v, depth + 1) for k, v in body}
        if tag == "T":
            return _unpack_tensor(*body)
        if tag == "dtype":
            return getattr(torch, body.removeprefix("torch."))
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError, OverflowError):
        pass
    return Opaque(str(body)[:100])


def _unpack_tensor(name: str, shape: list[int], data: str) -> Tensor:
    raw, dtype = base64.b64decode(data), _DTYPES[name]
    size = math.prod(shape)
    if size > LARGEST or len(raw) != size * dtype.itemsize or any(s < 0 for s in shape):
        raise ValueError("malformed")
    if not raw:
        return torch.empty(shape, dtype=dtype)
    return torch.frombuffer(bytearray(raw), dtype=dtype).reshape(shape)


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """One check's outcome as it leaves the child."""
    return {
        "name": outcome.name,
        "status": outcome.status.value,
        "lines": [str(line)[:600] for line in outcome.lines[:20]],
        "error": str(outcome.error)[:2000],
        "parts": [str(part)[:100] for part in outcome.parts[:50]],
        "printed": str(outcome.printed)[-2000:],
        "seen": [[str(s.what)[:500], pack(s.value)] for s in outcome.seen[:400]],
    }


def outcome_of(data: dict[str, Any]) -> Outcome:
    """The record again, on the side that judges."""
    return Outcome(
        name=str(data["name"]),
        status=Status(data["status"]),
        lines=tuple(map(str, data["lines"])),
        error=str(data["error"]),
        parts=tuple(map(str, data["parts"])),
        seen=[Seen(str(what), unpack(value)) for what, value in data["seen"]],
        printed=str(data["printed"]),
    )
