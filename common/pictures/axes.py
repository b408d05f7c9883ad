"""Each kind of panel on axes of matplotlib."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from common.pictures.panels import Bars, Heat, Lines, Panel, Strips


@dataclass(frozen=True)
class Theme:
    """Colours: of what lies below, of text, of lines beside it, of curves, and of the two scales of a heat map."""

    back: str
    ink: str
    quiet: str
    curves: tuple[str, ...]
    sequential: tuple[str, ...]
    diverging: tuple[str, ...]
    bad: str


# Blue and orange, which everybody tells apart.
THEMES = {
    "light": Theme(
        "#ffffff", "#1f2328", "#59636e", ("#0969da", "#bc4c00", "#1a7f37", "#8250df"),
        ("#f3f6fa", "#a5cbf5", "#3b8be0", "#0b3d82"),
        ("#8a3a00", "#e59a5f", "#f6f8fa", "#6faaea", "#0b3d82"), "#d1242f",
    ),
    "dark": Theme(
        "#0d1117", "#e6edf3", "#9198a1", ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff"),
        ("#161b22", "#1f4b80", "#4f9bf0", "#d6eaff"),
        ("#ffc9a0", "#b3622a", "#161b22", "#3a7bc8", "#b6dbff"), "#ff7b72",
    ),
}  # fmt: skip


def height(panel: Panel) -> float:
    """Inches that a panel wants."""
    if isinstance(panel, Heat):
        names = max((len(c) for c in panel.columns), default=0)
        row = 0.15 if panel.square else 0.21
        below = 0.06 * min(names, 12) if names > 3 else 0
        return 0.75 + max(row * len(panel.values), 0.8) + below
    if isinstance(panel, Bars):
        return 0.8 + max(0.21 * len(panel.labels) * (1 + 0.5 * (len(panel.series) - 1)), 0.8)
    if isinstance(panel, Strips):
        return 0.9 + 0.29 * len(panel.rows)
    return 2.7


def _heat(axes: Any, heat: Heat, theme: Theme) -> None:
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    colours = theme.diverging if heat.scale == "diverging" else theme.sequential
    palette = LinearSegmentedColormap.from_list("heat", colours)
    palette.set_bad(theme.bad)
    low = -heat.top if heat.scale == "diverging" else 0
    high = 1.25 if heat.scale == "mask" else heat.top
    finite = [[v if math.isfinite(v) else math.nan for v in row] for row in heat.values]
    aspect = "equal" if heat.square else "auto"
    axes.imshow(finite, cmap=palette, vmin=low, vmax=high, interpolation="none", aspect=aspect)
    axes.set_anchor("NW")
    tall, wide = len(heat.values), len(heat.values[0])
    if tall + wide <= 50:
        axes.set_xticks([j - 0.5 for j in range(1, wide)], minor=True)
        axes.set_yticks([i - 0.5 for i in range(1, tall)], minor=True)
        axes.grid(which="minor", color=theme.back, linewidth=1)
        axes.tick_params(which="minor", length=0)
    _names(axes, heat, tall, wide)
    if heat.numbers:
        _numbers(axes, heat, theme)
    if heat.mark:
        row, column = heat.mark
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=theme.bad, lw=2, zorder=5)
        )
    axes.set(xlabel=heat.column_axis, ylabel=heat.row_axis)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _names(axes: Any, heat: Heat, tall: int, wide: int) -> None:
    if heat.rows:
        axes.set_yticks(range(tall), [_brief(r, 14) for r in heat.rows])
    else:
        axes.set_yticks([])
    if heat.columns:
        names = [_brief(c, 12) for c in heat.columns]
        slanted = max(map(len, names)) > 3 and wide > 3
        axes.set_xticks(range(wide), names, rotation=90 if slanted else 0)
    else:
        axes.set_xticks([])


def _numbers(axes: Any, heat: Heat, theme: Theme) -> None:
    for i, row in enumerate(heat.values):
        for j, value in enumerate(row):
            strong = abs(value) > 0.55 * heat.top or not math.isfinite(value)
            told = f"{value:.2f}" if math.isfinite(value) else str(value)
            axes.text(
                j,
                i,
                told,
                ha="center",
                va="center",
                fontsize=7,
                color=theme.back if strong else theme.ink,
            )


def _lines(axes: Any, panel: Lines, theme: Theme) -> None:
    for line, colour in zip(panel.lines, theme.curves, strict=False):
        few = len(line.x) <= 16
        axes.plot(
            line.x, line.y, color=colour, label=line.name, lw=1.6, marker="o" if few else None, ms=3
        )
    if panel.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(lambda value, _: "")
    for name, level in panel.levels:
        axes.axhline(level, color=theme.quiet, lw=1, ls="--")
        axes.annotate(
            name, (1, level), xycoords=("axes fraction", "data"), xytext=(-2, 3),
            textcoords="offset points", ha="right", color=theme.quiet, fontsize=8,
            bbox={"fc": theme.back, "ec": "none", "pad": 1, "alpha": 0.8}, zorder=1,
        )  # fmt: skip
    if panel.reach:
        axes.update_datalim([(panel.lines[0].x[0], y) for y in panel.reach])
        axes.autoscale_view()
    axes.grid(color=theme.quiet, alpha=0.25, lw=0.6)
    axes.set(xlabel=panel.x_axis, ylabel=panel.y_axis)
    if len(panel.lines) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=theme.ink)
    axes.spines[["top", "right"]].set_visible(False)


def _bars(axes: Any, bars: Bars, theme: Theme) -> None:
    many = len(bars.series)
    thick = 0.8 / many
    finite = [v for _, values in bars.series for v in values if math.isfinite(v)]
    for k, ((name, values), colour) in enumerate(zip(bars.series, theme.curves, strict=False)):
        places = [i + (k - (many - 1) / 2) * thick for i in range(len(bars.labels))]
        lengths = [v if math.isfinite(v) else 0 for v in values]
        axes.barh(places, lengths, height=thick * 0.86, color=colour, label=name)
        for place, value, length in zip(places, values, lengths, strict=True):
            axes.annotate(
                f"{value:,.{bars.digits}f}", (max(length, 0), place), xytext=(3, 0), va="center",
                textcoords="offset points", fontsize=7.5, color=theme.ink,
            )  # fmt: skip
    axes.set_yticks(range(len(bars.labels)), [_brief(name, 30) for name in bars.labels])
    axes.invert_yaxis()
    axes.set_xlim(min([*finite, 0]), 1.22 * (max([*finite, 0]) or 1))
    axes.set_xticks([])
    axes.set_xlabel(bars.axis, loc="left")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    if many > 1:
        axes.legend(
            frameon=False, fontsize=8, labelcolor=theme.ink, ncols=many, loc="upper right",
            bbox_to_anchor=(1, 0), borderaxespad=0.2,
        )  # fmt: skip


def _strips(axes: Any, strips: Strips, theme: Theme) -> None:
    from matplotlib.patches import Patch, Rectangle

    shades = [theme.sequential[0], theme.sequential[1], theme.curves[1], theme.curves[0]]
    inks = [theme.ink, theme.ink, theme.back, theme.back]
    end = max((box.end for _, row in strips.rows for box in row), default=1)
    for i, (_, row) in enumerate(strips.rows):
        for box in row:
            size = (box.end - box.start, 0.8)
            axes.add_patch(
                Rectangle((box.start, i - 0.4), *size, fc=shades[box.kind], ec=theme.quiet, lw=0.5)
            )
            room = int((box.end - box.start) / end * 88)
            axes.text(
                (box.start + box.end) / 2, i, _brief(box.text, max(room, 1)), ha="center", va="center",
                fontsize=8, color=inks[box.kind],
            )  # fmt: skip
    axes.set(
        xlim=(-0.02 * end, 1.01 * end), ylim=(len(strips.rows) - 0.5, -0.5), xlabel=strips.axis
    )
    axes.set_yticks(range(len(strips.rows)), [_brief(name, 22) for name, _ in strips.rows])
    axes.set_xticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    named = [
        Patch(fc=shades[k], ec=theme.quiet, label=name)
        for k, name in enumerate(strips.kinds)
        if name
    ]
    if named:
        axes.legend(
            handles=named, frameon=False, fontsize=8, labelcolor=theme.ink, ncols=len(named),
            loc="lower right", bbox_to_anchor=(1, 1), borderaxespad=0.1,
        )  # fmt: skip


def _brief(text: str, most: int) -> str:
    return text if len(text) <= most else text[: max(most - 1, 0)] + "…"


DRAW: dict[type, Callable[[Any, Any, Theme], None]] = {
    Heat: _heat,
    Lines: _lines,
    Bars: _bars,
    Strips: _strips,
}
