"""A part of a wrong tensor beside what was expected, and as a grid of characters."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_TALLEST = 16  # rows of a mask in a report
_NUMBERS = 8  # rows and columns of a table of numbers there
_BETWEEN = "     "


@dataclass(frozen=True)
class Slice:
    """Rows and columns at one place of the axes before them.

    Args:
        place: the letters and indices of those axes: (("B", 0), ("H", 1)).
        mark: row and column, within the slice, of the entry that is wrong; None where all are right.
        expected, got: rows of numbers; of bools 0 and 1.
    """

    place: tuple[tuple[str, int], ...]
    mark: tuple[int, int] | None
    expected: tuple[tuple[float, ...], ...]
    got: tuple[tuple[float, ...], ...]

    @property
    def name(self) -> str:
        """Which it is: "B 0, H 1"; nothing of a tensor with two axes."""
        return ", ".join(f"{letter} {i}".strip() for letter, i in self.place)


@dataclass(frozen=True)
class Excerpt:
    """A wrong tensor around the entry that a message names, beside what was expected there.

    Args:
        what: the tensor, as messages call it.
        axes: the letters of its rows and columns: ("T", "T"); empty where none is certain.
        corner: the row and column of the tensor that every slice begins with.
        slices: the one with the named entry first; then the others, in order, where they are few enough to travel.
    """

    what: str
    shape: tuple[int, ...]
    axes: tuple[str, str]
    corner: tuple[int, int]
    slices: tuple[Slice, ...]
    bools: bool = False

    @classmethod
    def from_data(cls, data: Mapping[str, Any] | None) -> Excerpt | None:
        """What asdict made of one."""
        if data is None:
            return None
        made = {key: _deep(value) for key, value in data.items() if key != "slices"}
        slices = tuple(Slice(**{k: _deep(v) for k, v in one.items()}) for one in data["slices"])
        return cls(**made, slices=slices)

    @property
    def whole(self) -> bool:
        """Whether no row or column of the tensor is left out."""
        first = self.slices[0]
        return len(self.shape) == 1 or self.shape[-2:] == (len(first.got), len(first.got[0]))

    def lines(self, width: int) -> list[str]:
        """Expected and got side by side, where the tensor is a mask or a small square; else nothing."""
        first = self.slices[0]
        tall, wide = len(first.got), len(first.got[0])
        most = _TALLEST if self.bools else _NUMBERS
        small = 2 < tall <= most and wide <= most and (self.bools or tall == wide)
        if not (small and self.shape[-2:] == (tall, wide)):
            return []
        wanted, got = grid(first.expected), grid(first.got, first.mark)
        across = max(map(len, wanted))
        head = f"{self.what}, {first.name}" if first.name else self.what
        lines = [f"{'expected'.ljust(across)}{_BETWEEN}yours"]
        lines += [f"{a.ljust(across)}{_BETWEEN}{b}" for a, b in zip(wanted, got, strict=True)]
        if len(head) > width or max(map(len, lines)) > width:
            return []
        return [f"{head}:", *lines]


def grid(values: Sequence[Sequence[float]], mark: tuple[int, int] | None = None) -> list[str]:
    """A mask (# and .), or a small table of numbers, row by row; brackets stand around the marked entry."""
    mask = all(v in (0, 1) for row in values for v in row)
    texts = [[("#" if v else ".") if mask else short(v) for v in row] for row in values]
    wide = max((len(t) for row in texts for t in row), default=1)
    made = []
    for i, row in enumerate(texts):
        line = ""
        for j, text in enumerate(row):
            here = mark == (i, j)
            line += "[" if here else "" if line.endswith("]") else " "
            line += text.rjust(wide) + "]" * here
        made.append(line)
    return made


def short(value: float) -> str:
    """A number in a few characters."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value == int(value) and abs(value) < 1000:
        return str(int(value))
    return f"{value:.2f}" if abs(value) < 100 else f"{value:.0e}"


def _deep(value: Any) -> Any:
    return tuple(map(_deep, value)) if isinstance(value, list | tuple) else value
