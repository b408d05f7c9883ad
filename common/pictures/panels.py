"""What a picture is made of: frozen records of plain numbers and texts, which travel between processes as JSON."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any

from common.errors import UsageError

Row = tuple[float, ...]


@dataclass(frozen=True)
class Control:
    """Something that changes a picture.

    Args:
        kind: "text", "number", "slide" (a number that is slid to) or "choice".
        default: what it is where nobody says otherwise; of a number its digits.
        choices: of a choice; the default is one of them.
        low, high: of a number.
        whole: the number is an integer.
    """

    name: str
    label: str
    kind: str
    default: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    whole: bool = False

    def value(self, text: str) -> str | float:
        """What somebody typed for it, as the picture takes it.

        Raises:
            UsageError: it is no number, out of range, or none of the choices.
        """
        if self.kind == "text":
            return text
        if self.kind == "choice":
            if text not in self.choices:
                raise UsageError(f"{self.name} is one of {', '.join(self.choices)}, not {text!r}")
            return text
        try:
            number = int(text) if self.whole else float(text)
        except ValueError:
            kind = "a whole number" if self.whole else "a number"
            raise UsageError(f"{self.name} is {kind}, not {text!r}") from None
        low, high = self.low, self.high
        if (low is not None and not number >= low) or (high is not None and not number <= high):
            raise UsageError(f"{self.name} is between {low:g} and {high:g}, not {text}")
        return number


@dataclass(frozen=True)
class Heat:
    """A table of numbers as colours.

    Args:
        values: a tuple for each row; NaN where there is no number.
        rows, columns: a label each, or none.
        scale: "sequential" from 0 up, "diverging" around 0, "mask" for 0 and 1.
        most: the value with the strongest colour; the largest one where it is left out.
        mark: row and column of a cell to be framed.
        numbers: the values are told in the cells.
        square: so are the cells, whatever room there is.
    """

    title: str
    values: tuple[Row, ...]
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    row_axis: str = ""
    column_axis: str = ""
    scale: str = "sequential"
    most: float | None = None
    mark: tuple[int, int] | None = None
    numbers: bool = False
    square: bool = False

    @property
    def top(self) -> float:
        """The value with the strongest colour, above 0."""
        if self.most:
            return self.most
        known = [abs(v) for row in self.values for v in row if math.isfinite(v)]
        return max(known, default=0) or 1.0


@dataclass(frozen=True)
class Line:
    """One curve; an x for each y."""

    name: str
    x: Row
    y: Row


@dataclass(frozen=True)
class Lines:
    """Curves over a common axis; `levels` are named horizontal lines, `reach` is what the axis shows at least."""

    title: str
    lines: tuple[Line, ...]
    x_axis: str = ""
    y_axis: str = ""
    log: bool = False
    levels: tuple[tuple[str, float], ...] = ()
    reach: Row = ()


@dataclass(frozen=True)
class Bars:
    """Horizontal bars: for each label one of each series, (name, values)."""

    title: str
    labels: tuple[str, ...]
    series: tuple[tuple[str, Row], ...]
    axis: str = ""
    digits: int = 2  # behind the point, of the number at a bar's end


@dataclass(frozen=True)
class Box:
    """A piece of a strip, from one column to another; `kind` is an index into the strips' kinds."""

    start: float
    end: float
    text: str
    kind: int = 0


@dataclass(frozen=True)
class Strips:
    """Rows of labelled boxes over a common axis: texts in pieces, windows, what a cache holds."""

    title: str
    rows: tuple[tuple[str, tuple[Box, ...]], ...]
    kinds: tuple[str, ...] = ("",)
    axis: str = ""


Panel = Heat | Lines | Bars | Strips
_KINDS = {kind.__name__: kind for kind in (Heat, Lines, Bars, Strips)}


def panel_to_json(panel: Panel) -> str:
    """A panel as one line of JSON."""
    return json.dumps({"kind": type(panel).__name__, **asdict(panel)})


def panel_from_json(text: str) -> Panel:
    """The panel that was written so."""
    data = _frozen(json.loads(text))
    kind = data.pop("kind")
    if kind == "Lines":
        data["lines"] = tuple(Line(**line) for line in data["lines"])
    if kind == "Strips":
        data["rows"] = tuple((name, tuple(Box(**b) for b in row)) for name, row in data["rows"])
    return _KINDS[kind](**data)


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(v) for v in value)
    if isinstance(value, dict):
        return {key: _frozen(v) for key, v in value.items()}
    return value
