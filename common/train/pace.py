"""How long a run still takes: told after a few steps, which count, and better with every further one."""

from __future__ import annotations

import statistics
from collections import deque
from dataclasses import dataclass, field

FEW = 5  # steps after which it is told; the first is slower, as memory is laid out then
_KEPT = 50  # of each that are remembered, so that a machine that gets busy is noticed


def _last() -> deque[float]:
    return deque(maxlen=_KEPT)


@dataclass
class Pace:
    """Seconds that steps took, and what comes between them.

    Args:
        total: steps of the run. looks_every, samples_every: steps between two of these.
        steps, looks, samples: seconds of the last ones.
    """

    total: int
    looks_every: int
    samples_every: int
    steps: deque[float] = field(default_factory=_last)
    looks: deque[float] = field(default_factory=_last)
    samples: deque[float] = field(default_factory=_last)

    def left(self, step: int) -> float | None:
        """Seconds to the end after so many steps of the run; None before there is anything to go by."""
        if len(self.steps) < min(FEW, self.total):
            return None
        usual = statistics.median(self.steps)
        seconds = (self.total - step) * usual
        for taken, every in ((self.looks, self.looks_every), (self.samples, self.samples_every)):
            if taken:
                seconds += (self.total // every - step // every) * statistics.mean(taken)
        return seconds


def duration(seconds: float) -> str:
    """A time as one says it: 40 s, 3 min, 2 h 5 min."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
