"""Where a run is between two looks at the losses: RUN/now.json, for whoever watches it from another process."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from common.files import write_atomically

_EVERY = 0.5  # seconds between two beats


@dataclass(frozen=True)
class Pulse:
    """A moment of a run.

    Args:
        total: steps of the whole run. speed: tokens a second, evaluations included.
        left: seconds to its end, once there is anything to go by.
        at: seconds since the epoch. over: why it has ended: "finished" or "stopped"; empty while it runs.
    """

    step: int
    total: int
    loss: float
    speed: float
    at: float
    over: str = ""
    left: float | None = None


class Beat:
    """Writes a run's pulse, but not at every step."""

    def __init__(self, run: Path) -> None:
        self.run, self.last = run, 0.0

    def tell(
        self,
        step: int,
        total: int,
        loss: float,
        speed: float,
        *,
        left: float | None,
        over: str = "",
    ) -> None:
        """One more moment; a disk that refuses it stops no training."""
        now = time.time()
        if over or now - self.last >= _EVERY:
            self.last = now
            pulse = Pulse(step, total, loss, speed, now, over, left)
            with contextlib.suppress(OSError):
                write_atomically(self.run / "now.json", json.dumps(asdict(pulse)) + "\n")


def read(run: Path) -> Pulse | None:
    """The last pulse of a run; None where there is none."""
    try:
        return Pulse(**json.loads((run / "now.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
