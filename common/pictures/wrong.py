"""A mistake in pictures: the wrong tensor of the check that a report shows, beside what was expected.

Where that check looks at no tensor, it is that of the next failing one that does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from common.judging.excerpt import Excerpt, Slice
from common.judging.records import Outcome, Verdict
from common.pictures.panels import Control, Heat, Row
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


def pictures(verdict: Verdict, chosen: Mapping[str, str] | None = None) -> list[Picture]:
    """Expected, got and the difference as heat maps; none where the failing check is about no tensor.

    Args:
        chosen: an index for each control; what is left out or makes no sense is as the message has it.
    """
    outcome = _told_by(verdict)
    if not (outcome and outcome.excerpt):
        return []
    excerpt = outcome.excerpt
    place = [(chosen or {}).get(c.name, c.default) for c in controls(verdict)]
    wanted = [s for s in excerpt.slices if [str(i) for _, i in s.place] == place]
    made = _picture(excerpt, wanted[0] if wanted else excerpt.slices[0])
    told = "" if outcome is verdict.shown else f" Seen by another check: {outcome.sentence}."
    return [replace(made, note=made.note + told)]


def controls(verdict: Verdict) -> list[Control]:
    """An index for each axis before the rows, where there is more than one slice to look at."""
    outcome = _told_by(verdict)
    if not (outcome and outcome.excerpt and len(outcome.excerpt.slices) > 1):
        return []
    excerpt = outcome.excerpt
    return [
        Control(
            f"axis{k}", f"{letter}: {_NAMES[letter]}" if letter in _NAMES else letter or f"axis {k}",
            "slide", str(i), low=0, high=excerpt.shape[k] - 1, whole=True,
        )
        for k, (letter, i) in enumerate(excerpt.slices[0].place)
    ]  # fmt: skip


def _told_by(verdict: Verdict) -> Outcome | None:
    return next((o for o in verdict.wrong if o.excerpt), None)


def _picture(excerpt: Excerpt, part: Slice) -> Picture:
    place = f", {part.name}" if part.name else ""
    told = "Here all is as expected."
    if part.mark:
        row, column = part.mark
        at = [*(i for _, i in part.place), excerpt.corner[0] + row, excerpt.corner[1] + column]
        if len(excerpt.shape) == 1:
            at = at[-1:]
        wanted, got = (
            _told(part.expected[row][column], excerpt),
            _told(part.got[row][column], excerpt),
        )
        told = f"At {at} {wanted} was expected, and yours has {got}."
    cut = "" if excerpt.whole else f" Of {excerpt.shape} the part around this entry is shown."
    return Picture(
        f"{excerpt.what}{place}: expected, yours, and the difference",
        f"Three tables of colours side by side: {excerpt.what} as expected, as your code gives it, and the difference. "
        + told,
        _panels(excerpt, part),
        told + cut,
        across=3 if len(part.got[0]) <= 16 else 1,
    )


def _panels(excerpt: Excerpt, part: Slice) -> tuple[Heat, ...]:
    off = tuple(
        tuple(b - a for a, b in zip(one, other, strict=True))
        for one, other in zip(part.expected, part.got, strict=True)
    )
    few = max(len(part.got), len(part.got[0])) <= _FEW and not excerpt.bools
    # Every slice in the same colours, so that they can be compared.
    both = [v for s in excerpt.slices for row in (*s.expected, *s.got) for v in row]
    both = [v for v in both if abs(v) < float("inf")]
    most = max(map(abs, both), default=0) or 1.0
    signed = "diverging" if min(both, default=0) < 0 else "sequential"
    scale = "mask" if excerpt.bools else signed

    def heat(title: str, values: tuple[Row, ...], scale: str, most: float | None) -> Heat:
        top, left = excerpt.corner
        return Heat(
            title, values,
            tuple(str(top + i) for i in range(len(values))) if len(excerpt.shape) > 1 else (),
            tuple(str(left + j) for j in range(len(values[0]))),
            *_axes(excerpt.axes), scale, most, part.mark, few,
        )  # fmt: skip

    return (
        heat("expected", part.expected, scale, most),
        heat("yours", part.got, scale, most),
        heat("yours - expected", off, "diverging", None),
    )


def _axes(letters: tuple[str, str]) -> tuple[str, str]:
    if letters == ("T", "T"):
        return "T: token that looks", "T: token that is looked at"
    row, column = (f"{a}: {_NAMES[a]}" if a in _NAMES else a for a in letters)
    return row, column


def _told(value: float, excerpt: Excerpt) -> str:
    return str(bool(value)) if excerpt.bools else f"{value:g}"
