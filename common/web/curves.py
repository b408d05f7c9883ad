"""Both losses as an SVG that takes its colours from the page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import Any

from common.train.curve import batch_losses

_WIDTH, _HEIGHT = 720, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 12, 30


def curves(history: Sequence[dict[str, Any]]) -> str:
    """The picture; empty where there is nothing to draw.

    Args:
        history: records with step, train_loss and val_loss. A loss that is no number leaves a gap.
    """
    each = [(step, loss) for step, loss in batch_losses(history) if math.isfinite(loss)]
    values = [r[k] for r in history for k in ("train_loss", "val_loss") if math.isfinite(r[k])]
    values += [loss for _, loss in each]
    if not values:
        return ""
    low, high = math.floor(min(values)), max(math.ceil(max(values)), math.floor(min(values)) + 1)
    first, last = history[0]["step"], max(history[-1]["step"], history[0]["step"] + 1)

    def x(step: float) -> float:
        return _LEFT + (step - first) / (last - first) * (_WIDTH - _LEFT - _RIGHT)

    def y(loss: float) -> float:
        return _TOP + (high - loss) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    shown = (
        f"from {history[0]['train_loss']:.2f} and {history[0]['val_loss']:.2f} at step {first} to "
    )
    shown += f"{history[-1]['train_loss']:.2f} and {history[-1]['val_loss']:.2f} at step {history[-1]['step']}"
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Training and validation loss, {escape(shown)}">'
    ]
    every = max(math.ceil((high - low) / 6), 1)
    for loss in range(low, high + 1, every):
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(loss):.1f}" y2="{y(loss):.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{y(loss) + 4:.1f}" text-anchor="end">{loss}</text>'
        )
    for step in sorted({first, round((first + history[-1]["step"]) / 2), history[-1]["step"]}):
        anchor = "start" if step == first else "end" if step == history[-1]["step"] else "middle"
        parts.append(
            f'<text x="{x(step):.1f}" y="{_HEIGHT - 8}" text-anchor="{anchor}">{step}</text>'
        )
    if each:
        line = " ".join(f"{x(step):.1f},{y(loss):.1f}" for step, loss in each)
        parts.append(f'<polyline class="each_batch" points="{line}"/>')
    for key in ("train_loss", "val_loss"):
        points = [(x(r["step"]), y(r[key])) for r in history if math.isfinite(r[key])]
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline class="{key}" points="{line}"/>')
        parts += [
            f'<circle class="{key}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>' for a, b in points[-1:]
        ]
    return "".join([*parts, "</svg>"])
