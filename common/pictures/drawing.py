"""Panels as SVG and PNG, by matplotlib, which is imported when the first one is drawn."""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from common.errors import CourseError
from common.files import being_replaced
from common.pictures.panels import Bars, Heat, Lines, Panel, Strips, clean

WIDTH = 8.6  # inches: 620 points, what a README shows at its full size
_FONT = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "gpt2",
}
_FAMILY = "system-ui, 'DejaVu Sans', Verdana, sans-serif"


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
        "#ffffff", "#1f2328", "#8c959f", ("#0969da", "#bc4c00", "#1a7f37", "#8250df"),
        ("#f3f6fa", "#a5cbf5", "#3b8be0", "#0b3d82"),
        ("#8a3a00", "#e59a5f", "#f6f8fa", "#6faaea", "#0b3d82"), "#d1242f",
    ),
    "dark": Theme(
        "#0d1117", "#e6edf3", "#6e7681", ("#58a6ff", "#f0883e", "#3fb950", "#bc8cff"),
        ("#161b22", "#1f4b80", "#4f9bf0", "#d6eaff"),
        ("#ffc9a0", "#b3622a", "#161b22", "#3a7bc8", "#b6dbff"), "#ff7b72",
    ),
}  # fmt: skip


def svg(panels: Sequence[Panel], across: int, alt: str, theme: str) -> str:
    """One SVG element with a text for who does not see it; the same bytes for the same panels."""
    if theme != "auto":
        size, body = _body(panels, across, theme)
        return _element(size, alt, "", body)
    (size, light), (_, dark) = (_body(panels, across, name) for name in ("light", "dark"))
    style = (
        "<style>.dark{display:none}@media(prefers-color-scheme:dark)"
        "{.light{display:none}.dark{display:inline}}</style>"
    )
    return _element(size, alt, style, f'<g class="light">{light}</g><g class="dark">{dark}</g>')


def png(
    panels: Sequence[Panel], across: int, title: str, note: str, path: Path, theme: str
) -> None:
    """Write the panels with a title above and a note below."""
    mpl = _matplotlib()
    with mpl.rc_context(_FONT), _quietly():
        figure = _figure(panels, across, THEMES[theme])
        wrapped = textwrap.fill(clean(note), 120)
        figure.suptitle(clean(title), x=0.01, ha="left", fontsize=11, color=THEMES[theme].ink)
        figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=8, color=THEMES[theme].quiet)
        figure.set_figheight(figure.get_figheight() + 0.35 + 0.15 * (wrapped.count("\n") + 1))
        _plain_texts(figure)
        with being_replaced(path) as aside:
            figure.savefig(aside, format="png", dpi=160)


def _matplotlib() -> Any:
    try:
        import matplotlib

        return matplotlib
    except ImportError:
        raise CourseError(
            "drawing needs matplotlib, which the default install brings: run `uv sync`, or draw with --text"
        ) from None


def _body(panels: Sequence[Panel], across: int, theme: str) -> tuple[tuple[float, float], str]:
    """Width and height in points, and what stands inside the SVG element."""
    mpl, out = _matplotlib(), io.StringIO()
    with mpl.rc_context({**_FONT, "svg.hashsalt": theme}), _quietly():
        figure = _figure(panels, across, THEMES[theme])
        _plain_texts(figure)
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(out, format="svg", metadata=none)
    text = out.getvalue()
    inside = text[text.index(">", text.index("<svg")) + 1 : text.rindex("</svg>")]
    inside = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", inside, flags=re.S)
    # Ids are one name space in a page: those of the two themes, and of two pictures, are apart by their hash.
    inside = re.sub(r'\sid="(?:figure|axes|patch|text|line2d|matplotlib\.axis|xtick|ytick|legend|'
                    r'QuadMesh|LineCollection|PolyCollection)_\d+"', "", inside)  # fmt: skip
    inside = re.sub(r"font: ([\d.]+)px [^;\"]*", rf"font: \1px {_FAMILY}", inside)
    inside = re.sub(r">\s+<", "><", inside)
    return (72 * WIDTH, 72 * figure.get_figheight()), inside.strip()


def _element(size: tuple[float, float], alt: str, style: str, body: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'role="img" viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" width="100%">'
        f"<title>{escape(clean(alt))}</title>{style}{body}</svg>\n"
    )


def _figure(panels: Sequence[Panel], across: int, theme: Theme) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [panels[i : i + across] for i in range(0, len(panels), across)]
    heights = [max(map(_height, row)) for row in rows]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained", facecolor=theme.back)
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.08)
    grid = figure.add_gridspec(len(rows), across, height_ratios=heights)
    draw: dict[type, Callable[[Any, Any, Theme], None]] = {
        Heat: _heat, Lines: _lines, Bars: _bars, Strips: _strips,
    }  # fmt: skip
    for i, row in enumerate(rows):
        for j, panel in enumerate(row):
            last = j == len(row) - 1
            axes = figure.add_subplot(grid[i, j:] if last else grid[i, j])
            axes.set_facecolor(theme.back)
            axes.tick_params(colors=theme.ink, labelsize=8, length=0)
            for spine in axes.spines.values():
                spine.set_color(theme.quiet)
                spine.set_linewidth(0.6)
            axes.set_title(panel.title, loc="left", fontsize=9, color=theme.ink, fontweight="bold")
            draw[type(panel)](axes, panel, theme)
            for axis in (axes.xaxis, axes.yaxis):
                axis.label.set(color=theme.quiet, fontsize=8)
    return figure


def _height(panel: Panel) -> float:
    """Inches that a panel wants."""
    if isinstance(panel, Heat):
        names = max((len(c) for c in panel.columns), default=0)
        return (
            0.75 + max(0.21 * len(panel.values), 0.8) + (0.06 * min(names, 12) if names > 3 else 0)
        )
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
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=theme.bad, lw=2))
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
            bbox={"fc": theme.back, "ec": "none", "pad": 1, "alpha": 0.8},
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
            told = f" {value:,.{bars.digits}f}"
            axes.text(max(length, 0), place, told, va="center", fontsize=7.5, color=theme.ink)
    axes.set_yticks(range(len(bars.labels)), [_brief(name, 30) for name in bars.labels])
    axes.invert_yaxis()
    axes.set_xlim(min([*finite, 0]), 1.22 * (max([*finite, 0]) or 1))
    axes.set_xticks([])
    axes.set_xlabel(bars.axis)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    if many > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=theme.ink, loc="lower right")


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


def _plain_texts(figure: Any) -> None:
    """A dollar sign is a dollar sign, and nothing in a text is markup."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text("\n".join(map(clean, text.get_text().split("\n"))))


def _quietly() -> Any:
    """A character that the font lacks is a box in the picture, and no line in the terminal."""
    return warnings.catch_warnings(action="ignore")
