"""The loss curves: a picture, and a small chart for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common.files import being_replaced
from common.train.curve import batch_losses, best
from common.train.runs import Record


def save_plot(
    history: Sequence[Record], steps_per_epoch: int | None, path: Path, title: str = ""
) -> None:
    """Train and validation loss over epochs, with tokens seen on a second axis; written atomically.

    Args:
        steps_per_epoch: None where a run knows no epochs; then it is over steps.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    unit = steps_per_epoch or 1
    epochs = [r["step"] / unit for r in history]
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    if each := batch_losses(history):
        axes.plot(
            [step / unit for step, _ in each], [loss for _, loss in each],
            color="#1f77b4", alpha=0.3, lw=0.8, label="each batch",
        )  # fmt: skip
    axes.plot(epochs, [r["train_loss"] for r in history], color="#1f77b4", label="training")
    axes.plot(
        epochs, [r["val_loss"] for r in history], color="#d62728", ls="--", label="validation"
    )
    low = best(history)
    axes.plot(low["step"] / unit, low["val_loss"], "o", color="#d62728", ms=5)
    axes.annotate(
        f"best {low['val_loss']:.2f}", (low["step"] / unit, low["val_loss"]),
        textcoords="offset points", xytext=(0, 8), color="#d62728",
        ha="center" if low["step"] < 0.9 * history[-1]["step"] else "right",
    )  # fmt: skip
    name = "epochs" if steps_per_epoch else "steps"
    axes.set(xlabel=name, ylabel="loss, nats per token", title=title)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    FigureCanvasAgg(figure)
    if steps_per_epoch and epochs[-1]:
        _count_tokens(axes, history[-1]["tokens_seen"] / epochs[-1])
    with being_replaced(path) as aside:
        figure.savefig(aside)


def _count_tokens(axes: Any, per_epoch: float) -> None:
    def to_tokens(epoch: Any) -> Any:
        return epoch * per_epoch

    def to_epochs(seen: Any) -> Any:
        return seen / per_epoch

    tokens = axes.secondary_xaxis("top", functions=(to_tokens, to_epochs))
    tokens.set_xlabel("tokens seen")
    tokens.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def chart(history: Sequence[Record], *, width: int = 64, height: int = 10) -> list[str]:
    """Both losses in plain characters: `.` training, `o` validation, `*` where they meet."""
    if not history:
        return []
    each = batch_losses(history) or [(r["step"], r["train_loss"]) for r in history]
    columns = min(width, max(len(history), len(each)))
    first, last = history[0]["step"], history[-1]["step"]

    def averages(points: Sequence[tuple[int, float]]) -> dict[int, float]:
        """By column."""
        found: dict[int, list[float]] = {}
        for step, loss in points:
            if not math.isfinite(loss):  # a run that diverged has a picture up to there
                continue
            x = round((step - first) / max(last - first, 1) * (columns - 1))
            found.setdefault(x, []).append(loss)
        return {x: sum(losses) / len(losses) for x, losses in found.items()}

    lines = {".": averages(each), "o": averages([(r["step"], r["val_loss"]) for r in history])}
    values = [loss for line in lines.values() for loss in line.values()]
    if not values:
        return []
    low, high = min(values), max(values)
    grid = [[" "] * columns for _ in range(height)]
    for mark, line in lines.items():
        for x, loss in line.items():
            y = round((high - loss) / max(high - low, 1e-9) * (height - 1))
            grid[y][x] = "*" if grid[y][x] not in (" ", mark) else mark
    meet = any("*" in row for row in grid)
    return _framed(grid, low, high, f"step {first} to {last}", "   * both" if meet else "")


def _framed(grid: list[list[str]], low: float, high: float, steps: str, meet: str) -> list[str]:
    height = len(grid)
    middle = high - (high - low) * (height // 2) / (height - 1)
    labels = {0: high, height // 2: middle, height - 1: low}
    lines = [
        (f"{labels[y]:7.2f} |" if y in labels else "        |") + "".join(row).rstrip()
        for y, row in enumerate(grid)
    ]
    legend = f"         {steps}   . training   o validation{meet}"
    return [*lines, "        +" + "-" * len(grid[0]), legend]
