"""A mistake in pictures: the wrong tensor of the check that a report shows, beside what was expected.

Where that check looks at no tensor, it is that of the next failing one that does.
"""

from __future__ import annotations

from dataclasses import replace

from common.judging.excerpt import Excerpt
from common.judging.records import Verdict
from common.pictures.panels import Heat, Row
from common.pictures.picture import Picture

_FEW = 8  # rows and columns whose numbers are told
_NAMES = {
    "B": "text",
    "T": "token",
    "C": "channel",
    "H": "head",
    "D": "channel of a head",
    "V": "token id",
}


def pictures(verdict: Verdict) -> list[Picture]:
    """Expected, got and the difference as heat maps; none where the failing check is about no tensor."""
    for outcome in verdict.wrong:
        if outcome.excerpt:
            told = (
                "" if outcome is verdict.shown else f" Seen by another check: {outcome.sentence}."
            )
            made = _picture(outcome.excerpt)
            return [replace(made, note=made.note + told)]
    return []


def _picture(excerpt: Excerpt) -> Picture:
    row, column = excerpt.mark
    place = f", {excerpt.place}" if excerpt.place else ""
    at = [*(i for _, i in excerpt.slice), excerpt.corner[0] + row, excerpt.corner[1] + column]
    if len(excerpt.shape) == 1:
        at = at[-1:]
    wanted, got = excerpt.expected[row][column], excerpt.got[row][column]
    told = f"At {at} {_told(wanted, excerpt)} was expected, and yours has {_told(got, excerpt)}."
    whole = excerpt.shape[-2:] == (len(excerpt.got), len(excerpt.got[0])) or len(excerpt.shape) == 1
    cut = "" if whole else f" Of {excerpt.shape} the part around this entry is shown."
    return Picture(
        f"{excerpt.what}{place}: expected, yours, and the difference",
        f"Three tables of colours side by side: {excerpt.what} as expected, as your code gives it, and the difference. "
        + told,
        _panels(excerpt),
        told + cut,
        across=3 if len(excerpt.got[0]) <= 16 else 1,
    )


def _panels(excerpt: Excerpt) -> tuple[Heat, ...]:
    off = tuple(
        tuple(b - a for a, b in zip(one, other, strict=True))
        for one, other in zip(excerpt.expected, excerpt.got, strict=True)
    )
    few = max(len(excerpt.got), len(excerpt.got[0])) <= _FEW and not excerpt.bools
    both = [v for row in (*excerpt.expected, *excerpt.got) for v in row if abs(v) < float("inf")]
    most = max(map(abs, both), default=0) or 1.0
    signed = "diverging" if min(both, default=0) < 0 else "sequential"
    scale = "mask" if excerpt.bools else signed

    def heat(title: str, values: tuple[Row, ...], scale: str, most: float | None) -> Heat:
        top, left = excerpt.corner
        return Heat(
            title, values,
            tuple(str(top + i) for i in range(len(values))) if len(excerpt.shape) > 1 else (),
            tuple(str(left + j) for j in range(len(values[0]))),
            *_axes(excerpt.axes), scale, most, excerpt.mark, few,
        )  # fmt: skip

    return (
        heat("expected", excerpt.expected, scale, most),
        heat("yours", excerpt.got, scale, most),
        heat("yours - expected", off, "diverging", None),
    )


def _axes(letters: tuple[str, str]) -> tuple[str, str]:
    if letters == ("T", "T"):
        return "T: token that looks", "T: token that is looked at"
    row, column = (f"{a}: {_NAMES[a]}" if a in _NAMES else a for a in letters)
    return row, column


def _told(value: float, excerpt: Excerpt) -> str:
    return str(bool(value)) if excerpt.bools else f"{value:g}"
