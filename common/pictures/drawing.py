"""Panels as SVG and PNG, by matplotlib, which is imported when the first one is drawn."""

from __future__ import annotations

import io
import re
import textwrap
import warnings
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from common.errors import CourseError
from common.files import being_replaced
from common.pictures.axes import DRAW, THEMES, Theme, height
from common.pictures.panels import Panel
from common.text.visible import visible

WIDTH = 8.6  # inches: 620 points, what a README shows at its full size
_FONT = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "gpt2",
}
_FAMILY = "system-ui, 'DejaVu Sans', Verdana, sans-serif"


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
    return _element(
        size, alt, style, _with_classes(f'<g class="light">{light}</g><g class="dark">{dark}</g>')
    )


def png(
    panels: Sequence[Panel], across: int, title: str, note: str, path: Path, theme: str
) -> None:
    """Write the panels with a title above and a note below."""
    mpl = _matplotlib()
    with mpl.rc_context(_FONT), _quietly():
        figure = _figure(panels, across, THEMES[theme])
        wrapped = textwrap.fill(visible(note), 120)
        head = textwrap.fill(visible(title), 90)
        figure.suptitle(head, x=0.01, ha="left", fontsize=11, color=THEMES[theme].ink)
        figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=8, color=THEMES[theme].quiet)
        figure.set_figheight(figure.get_figheight() + 0.4 + 0.16 * (wrapped + head).count("\n"))
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
    inside = re.sub(
        r"<defs>\s*<style.*?</defs>", "", inside, flags=re.S
    )  # it would style a whole page
    inside = _PLACES.sub(lambda found: found[1] + _shorter(found[2]), inside)
    inside = re.sub(r">\s+<", "><", inside)
    return (72 * WIDTH, 72 * figure.get_figheight()), inside.strip()


_PLACES = re.compile(r'(\s(?:d|x|y|width|height|transform)=")([^"]*)')


def _shorter(numbers: str) -> str:
    """A hundredth of a point is finer than anybody sees."""
    rounded = re.sub(
        r"-?\d+\.\d+", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), numbers
    )
    return re.sub(r"\s*\n\s*", "", re.sub(r"rotate\(-?0 [^)]*\)", "", rounded))


def _with_classes(text: str) -> str:
    """Styles that occur again and again written once; for a file of its own, as classes are global in a page."""
    styles = dict.fromkeys(re.findall(r'style="([^"]*)"', text))
    names = {style: f"s{number}" for number, style in enumerate(styles)}
    rules = "".join(f".{name}{{{style}}}" for style, name in names.items())
    text = re.sub(r'style="([^"]*)"', lambda found: f'class="{names[found[1]]}"', text)
    return f"<style>{rules}</style>{text}"


def _element(size: tuple[float, float], alt: str, style: str, body: str) -> str:
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'role="img" viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" width="100%" '
        'style="stroke-linejoin:round;stroke-linecap:butt">'
        f"<title>{escape(visible(alt))}</title>{style}{body}</svg>\n"
    )


def _figure(panels: Sequence[Panel], across: int, theme: Theme) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [panels[i : i + across] for i in range(0, len(panels), across)]
    heights = [max(map(height, row)) for row in rows]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained", facecolor=theme.back)
    FigureCanvasAgg(figure)
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.08, h_pad=0.08)
    grid = figure.add_gridspec(len(rows), across, height_ratios=heights)
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
            DRAW[type(panel)](axes, panel, theme)
            for axis in (axes.xaxis, axes.yaxis):
                axis.label.set(color=theme.quiet, fontsize=8)
    return figure


def _plain_texts(figure: Any) -> None:
    """A dollar sign is a dollar sign, and nothing in a text is markup."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_text("\n".join(map(visible, text.get_text().split("\n"))))


def _quietly() -> Any:
    """A character that the font lacks is a box in the picture, and no line in the terminal."""
    return warnings.catch_warnings(action="ignore")
