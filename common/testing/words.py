"""Values as messages show them: short, and of two long ones what differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from common.testing.axes import named

LONG = 70  # characters of a value in a message


def number(value: Tensor | float) -> str:
    """A single value as a message shows it."""
    value = value.item() if isinstance(value, Tensor) else value
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def contrast(expected: Any, actual: Any) -> tuple[str, str]:
    """Both as short texts that show what differs: of two long lists the first entry that does."""
    both = isinstance(expected, list | tuple) and isinstance(actual, list | tuple)
    if not both or max(len(repr(expected)), len(repr(actual))) <= LONG:
        return repr(expected), brief(actual)
    if all(isinstance(x, str) for x in (*expected, *actual)):
        if not expected:
            return "none", _some(actual)
        missing = [x for x in expected if x not in actual]
        extra = [x for x in actual if x not in expected]
        if missing:
            with_others = f", but with {_some(extra)}" if extra else ""
            return (
                f"with {_some(missing)}",
                f"without {'these' if missing[1:] else 'it'}{with_others}",
            )
        if extra:
            return f"these {len(expected)} and no other", f"{_some(extra)} as well"
    pairs = zip(expected, actual, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(expected), len(actual)))
    return _around(expected, at), _around(actual, at)


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:4])}{', ...' if len(names) > 4 else ''}"


def _around(values: Sequence[Any], at: int) -> str:
    if at >= len(values):
        return f"{len(values)} entries, none at {at}"
    before = "[..., " if at > 1 else "["
    shown = ", ".join(repr(v) for v in values[max(at - 1, 0) : at + 3])
    more = ", ...]" if at + 3 < len(values) else "]"
    return f"{before}{shown}{more}, of {len(values)} entries; entry {at} is {values[at]!r}"


def brief(value: Any) -> str:
    """A value of the learner's in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {named(value.shape)}"
    text = repr(value)
    text = text if len(text) <= LONG else text[: LONG - 3] + "..."
    return (
        text
        if isinstance(value, int | float | str | tuple | list | dict | None)
        else f"{type(value).__name__}: {text}"
    )
