"""What a training run looks like: where it is, both curves, and what it writes."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from common.train.curve import best, overfitting
from common.train.pace import duration
from common.web.curves import curves
from common.web.pages import fill

_SAMPLES = 12  # the last ones are shown


def page(shown: str) -> str:
    """The whole page.

    Args:
        shown: what `run` made.
    """
    return fill("train", run=Markup(shown))


def run(seen: Any, busy: bool, code: int | None, said: list[str]) -> str:
    """A run as it is on the disk now.

    Args:
        seen: training.Seen, or None. busy, code, said: of the process that was begun from the page.
    """
    pulse = seen.pulse if seen else None
    history = list(seen.history) if seen else []
    samples = [(r["step"], r["sample"]) for r in history if r.get("sample")]
    return fill(
        "run",
        seen=seen,
        busy=busy,
        code=code,
        said=said,
        pulse=pulse,
        alive=bool(seen and seen.runs),
        name=seen.run.name if seen else "",
        state=_state(seen) if seen else "",
        rows=history[::-1],
        curves=Markup(curves(history)),
        best=best(history) if history else None,
        overfitting=overfitting(history),
        samples=samples[: -_SAMPLES - 1 : -1],
    )


def _state(seen: Any) -> str:
    """Whether it goes on, and how long still."""
    p = seen.pulse
    if p is None:
        return ""
    if p.over:
        return p.over
    if not seen.runs:
        return "not heard of for a while"
    if p.left is None:
        return "measuring how long it takes"
    return f"about {duration(p.left)} left"
