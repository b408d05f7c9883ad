"""The losses of a run, read from its log."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

_LOSSES = re.compile(r"step +(\d+)  train +(\S+)  val +(\S+)")
_FELL = 0.5  # nats a token between the first record and the last: less is no training


def curve_of(log: Iterable[str]) -> list[dict[str, Any]]:
    """The records of a log: step, train_loss, val_loss."""
    found = (_LOSSES.match(line) for line in log)
    return [
        {"step": int(m[1]), "train_loss": float(m[2]), "val_loss": float(m[3])} for m in found if m
    ]


def loss_falls(log: Sequence[str]) -> bool:
    """Whether a run went to its end and learned."""
    records = curve_of(log)
    ends = not any(line.startswith("it ends with an error") for line in log)
    return (
        ends and len(records) > 1 and records[-1]["train_loss"] < records[0]["train_loss"] - _FELL
    )
