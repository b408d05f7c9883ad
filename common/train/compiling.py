"""Whether to compile the layers: it costs a while once, and what it gains differs from machine to machine."""

from __future__ import annotations

import importlib.util
import shutil
import statistics
from dataclasses import dataclass, field

COST = 60.0  # seconds that compiling takes, or less
GAIN = 0.1  # of the time that is left, hoped for before it is known
_TRIED = 4  # steps that are timed, before and after; the first after compiling is not one of them
_ENOUGH = 0.97  # of the time before: what compiled steps must at least come down to, to be kept


def can_compile(device: str) -> bool:
    """Whether this machine has what torch.compile needs: a C++ compiler, on a GPU Triton."""
    if device == "cuda":
        return importlib.util.find_spec("triton") is not None
    return device == "cpu" and any(map(shutil.which, ("c++", "g++", "clang++", "cl")))


@dataclass
class Trial:
    """Times steps, has the layers compiled if the run is long enough, and keeps what is faster."""

    before: list[float] = field(default_factory=list)
    after_it: list[float] = field(default_factory=list)
    compiled: bool = False
    over: bool = False

    def after(self, seconds: float, left: int) -> tuple[bool, str]:
        """One more step took so long, so many are left: whether layers are to be compiled, and what there is to say."""
        if self.over:
            return self.compiled, ""
        (self.after_it if self.compiled else self.before).append(seconds)
        usual = statistics.median(self.before[1:] or self.before)
        if not self.compiled:
            if len(self.before) <= _TRIED:
                return False, ""
            rest = usual * left
            self.over = not (GAIN * rest > COST)
            self.compiled = not self.over
            minutes = f"{rest / 60:.0f} more minutes"
            return (
                self.compiled,
                f"compiling the layers, for {minutes} at this speed" if self.compiled else "",
            )
        if len(self.after_it) <= _TRIED:
            return True, ""
        now = statistics.median(self.after_it[1:])
        self.over = True
        self.compiled = now <= _ENOUGH * usual
        change = f"{1000 * usual:.0f} to {1000 * now:.0f} ms a step"
        return self.compiled, f"compiled: {change}" + (
            "" if self.compiled else "; without it again"
        )
