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
class Excerpt:
    """The part of a wrong tensor around the entry that a message names, beside what was expected there.

    Args:
        what: the tensor, as messages call it.
        axes: the letters of its rows and columns: ("T", "T"); empty where none is certain.
        slice: the letters and indices of the axes before them: (("B", 0), ("H", 1)).
        corner: the row and column of the tensor that the excerpt begins with.
        mark: row and column, within the excerpt, of the entry that is wrong.
        expected, got: rows of numbers; of bools 0 and 1.
    """

    what: str
    shape: tuple[int, ...]
    axes: tuple[str, str]
    slice: tuple[tuple[str, int], ...]
    corner: tuple[int, int]
    mark: tuple[int, int]
    expected: tuple[tuple[float, ...], ...]
    got: tuple[tuple[float, ...], ...]
    bools: bool = False

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Excerpt:
        made = {key: _deep(value) for key, value in data.items()}
        return cls(**made)

    @property
    def place(self) -> str:
        """Which slice it is of: "B 0, H 1"; nothing of a tensor with two axes."""
        return ", ".join(f"{letter} {i}".strip() for letter, i in self.slice)

    def lines(self, width: int) -> list[str]:
        """Expected and got side by side, where the tensor is a mask or a small square; else nothing."""
        tall, wide = len(self.got), len(self.got[0])
        most = _TALLEST if self.bools else _NUMBERS
        whole = self.shape[-2:] == (tall, wide)
        if not (whole and 2 < tall <= most and wide <= most and (self.bools or tall == wide)):
            return []
        wanted, got = grid(self.expected), grid(self.got, self.mark)
        across = max(map(len, wanted))
        head = f"{self.what}, {self.place}" if self.place else self.what
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
