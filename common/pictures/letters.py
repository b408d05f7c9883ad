"""A picture in characters: for a terminal, a log, a screen reader."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from common.judging.excerpt import short
from common.pictures.panels import Bars, Box, Heat, Lines, Panel, Strips
from common.text.visible import visible

SHADES = " ·░▒▓█"  # from nothing to the most
SIGNED = ("--", "-", " ", "+", "++")  # a fifth of the way each, around 0
_MARKS = "*ox+"  # of curves
_LABEL = 14  # columns for the name of a row
_HEIGHT = 12  # rows of a chart


def lines_of(panel: Panel, width: int) -> list[str]:
    """A panel in lines of at most that many columns."""
    draw = _DRAW[type(panel)]
    return [cut(visible(line).rstrip(), width) for line in [panel.title, *draw(panel, width)]]


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def cut(text: str, width: int) -> str:
    """A text in at most that many columns; … stands for the rest."""
    if columns(text) <= width:
        return text
    while text and columns(text) > width - 1:
        text = text[:-1]
    return text + "…"


def padded(text: str, width: int, *, right: bool = False) -> str:
    """A text in exactly that many columns."""
    text = cut(visible(text), width)
    space = " " * (width - columns(text))
    return space + text if right else text + space


def cell(value: float, scale: str, top: float) -> str:
    """One value of a heat map in at most two characters."""
    if math.isnan(value):
        return "?"
    if scale == "mask":
        return "#" if value else "."
    share = max(-1.0, min(1.0, value / top))
    if scale == "diverging":
        return SIGNED[round(share * 2) + 2]
    return SHADES[max(0, math.ceil(share * (len(SHADES) - 1) - 1e-9))] * 2


def _heat(heat: Heat, width: int) -> list[str]:
    wide = min(_LABEL, max((columns(visible(r)) for r in heat.rows), default=0))
    if heat.numbers:
        cells = [[short(v) for v in row] for row in heat.values]
    else:
        cells = [[cell(v, heat.scale, heat.top) for v in row] for row in heat.values]
    size = max((len(c) for row in cells for c in row), default=1) + (
        heat.numbers or heat.scale != "sequential"
    )
    room = max((width - wide - 3) // size, 1)
    lines = _head(heat, wide, size, room)
    for i, row in enumerate(cells):
        name = padded(heat.rows[i] if heat.rows else "", wide, right=True)
        body = "".join(
            (f"[{c}]" if heat.mark == (i, j) and size > 2 else c.rjust(size))[-size - 1 :]
            for j, c in enumerate(row[:room])
        )
        lines.append(f"{name} |{body}|" + ("…" if len(row) > room else ""))
    lines += [_key(heat)] if not heat.numbers else []
    axes = (("rows", heat.row_axis), ("columns", heat.column_axis))
    told = "; ".join(f"{which}: {name}" for which, name in axes if name)
    return [*lines, told] if told else lines


def _head(heat: Heat, wide: int, size: int, room: int) -> list[str]:
    """The names of the columns, from top to bottom where they are wider than a column."""
    names = [visible(c) for c in heat.columns[:room]]
    if not any(names):
        return []
    tall = 1 if max(map(len, names)) <= size else min(6, max(map(len, names)))
    if tall == 1:
        return [" " * (wide + 2) + "".join(n.rjust(size) for n in names)]
    return [
        " " * (wide + 2)
        + "".join((n.ljust(tall)[k] if columns(n) == len(n) else "?").rjust(size) for n in names)
        for k in range(tall)
    ]


def _key(heat: Heat) -> str:
    if heat.scale == "mask":
        return "# yes   . no"
    top = f"{heat.top:.3g}"
    if heat.scale == "diverging":
        return f"++ is {top}, -- is -{top}"
    return f"{SHADES[-1] * 2} is {top}, blank is 0"


def _lines(panel: Lines, width: int) -> list[str]:
    def place(y: float) -> float:
        return math.log10(max(y, 1e-12)) if panel.log else y

    known = [place(y) for line in panel.lines for y in line.y if math.isfinite(y)]
    known += [place(y) for y in (*panel.reach, *(y for _, y in panel.levels))]
    x = [v for line in panel.lines for v in line.x]
    if not known or not x:
        return ["(no number to draw)"]
    low, high, left, right = min(known), max(known), min(x), max(x)
    across = max(width - 11, 10)
    chart = [[" "] * across for _ in range(_HEIGHT)]

    def row(y: float) -> int:
        return round((high - place(y)) / (high - low or 1) * (_HEIGHT - 1))

    for _, level in panel.levels:
        chart[row(level)] = ["."] * across
    for mark, line in zip(_MARKS, panel.lines, strict=False):
        for at, y in zip(line.x, line.y, strict=True):
            if math.isfinite(y):
                chart[row(y)][round((at - left) / (right - left or 1) * (across - 1))] = mark
    told = {0: high, _HEIGHT - 1: low}
    lines = [
        (f"{10 ** told[i] if panel.log else told[i]:9.3g}" if i in told else " " * 9)
        + " |"
        + "".join(r)
        for i, r in enumerate(chart)
    ]
    ends = f"{left:.6g}"
    lines += [
        " " * 10 + "+" + "-" * across,
        " " * 11 + ends + f"{right:.6g}".rjust(across - len(ends)),
    ]
    named = [f"{m} {line.name}" for m, line in zip(_MARKS, panel.lines, strict=False)]
    named += [f". {name}" for name, _ in panel.levels]
    axes = [
        f"{which}: {name}"
        for which, name in (("across", panel.x_axis), ("up", panel.y_axis))
        if name
    ]
    return [*lines, *_flowing([", ".join(axes), *named], width)]


def _flowing(parts: Sequence[str], width: int) -> list[str]:
    lines: list[str] = []
    for part in filter(None, parts):
        if lines and columns(both := f"{lines[-1]}   {part}") <= width:
            lines[-1] = both
        else:
            lines.append(part)
    return lines


def _bars(bars: Bars, width: int) -> list[str]:
    known = [abs(v) for _, values in bars.series for v in values if math.isfinite(v)]
    top = max(known, default=0) or 1.0
    wide = min(2 * _LABEL, max((columns(visible(name)) for name in bars.labels), default=0))
    told = max(len(f"{v:,.{bars.digits}f}") for _, values in bars.series for v in values or (0.0,))
    several = len(bars.series) > 1
    room = max(width - wide - told - 4 - 2 * several, 5)
    lines = []
    for i, label in enumerate(bars.labels):
        for mark, (_, values) in zip("█▒·", bars.series, strict=False):
            name = label if mark == "█" else ""
            value = values[i]
            bar = "?" if math.isnan(value) else mark * round(min(abs(value) / top, 1) * room)
            lines.append(f"{padded(name, wide, right=True)} |{bar} {value:,.{bars.digits}f}")
    named = [f"{m} {name}" for m, (name, _) in zip("█▒·", bars.series, strict=False) if several]
    return [*lines, *_flowing([bars.axis, *named], width)]


def _strips(strips: Strips, width: int) -> list[str]:
    wide = min(_LABEL, max((columns(visible(name)) for name, _ in strips.rows), default=0))
    boxes = [box for _, row in strips.rows for box in row]
    unit = max((_needed(box) for box in boxes), default=1)
    ends = max((box.end for box in boxes), default=1)
    unit = max(1, min(unit, int((width - wide - 4) / max(ends, 1))))
    lines = []
    for name, row in strips.rows:
        line = ""
        for box in row:
            line = line.ljust(round(box.start * unit))
            line += "|" + padded(
                _marked(box, strips), max(round((box.end - box.start) * unit) - 1, 0)
            )
        lines.append(f"{padded(name, wide, right=True)} {line}|")
    kinds = [f"{_SIGNS[i]} {name}".strip() for i, name in enumerate(strips.kinds) if name]
    return [*lines, *_flowing([strips.axis, *kinds], width)]


_SIGNS = ("", "=", "*", "~")


def _marked(box: Box, strips: Strips) -> str:
    return (_SIGNS[box.kind] if any(strips.kinds) else "") + box.text


def _needed(box: Box) -> int:
    return math.ceil((columns(box.text) + 2) / max(box.end - box.start, 1))


_DRAW: dict[type, Callable[[Any, int], list[str]]] = {
    Heat: _heat,
    Lines: _lines,
    Bars: _bars,
    Strips: _strips,
}
