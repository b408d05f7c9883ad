"""A training run for the page: begun here or in a terminal, it is read from what it writes into its folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from common.course.catalogue import ROOT
from common.errors import CourseError, UsageError
from common.train import runs
from common.train.pulse import Pulse, read
from common.train.runs import RUNS, Record
from common.web import training_pages
from common.web.channel import Channel

_EVERY = 0.5  # seconds between two looks at the folder
_LINES = 200  # of what a run says that are kept
_TO_SAVE = 3.0  # seconds in which a run that is to end may finish its step and save
_SILENT = 30.0  # seconds without a sign after which a run is not called running


@dataclass(frozen=True)
class Seen:
    """What is on the disk of one run."""

    run: Path
    history: tuple[Record, ...]
    pulse: Pulse | None

    @property
    def runs(self) -> bool:
        """Whether it still gave a sign lately."""
        p = self.pulse
        return p is not None and not p.over and time.time() - p.at < _SILENT


class Training:
    """The run that was written to last, and the process of one that was begun from the page."""

    def __init__(self) -> None:
        self.channel = Channel()
        self.process: asyncio.subprocess.Process | None = None
        self.lines: deque[str] = deque(maxlen=_LINES)
        self.listening: asyncio.Task[None] | None = None
        self.looking: asyncio.Task[None] | None = None
        self.shown: tuple[object, ...] = ()

    @property
    def busy(self) -> bool:
        """Whether a run begun from here goes on."""
        return self.process is not None and self.process.returncode is None

    def watch(self) -> None:
        """Look at the folder from now on."""
        if self.looking is None or self.looking.done():
            self.looking = asyncio.create_task(self._look())

    async def start(self, *, epochs: int, mine: bool, resume: bool) -> None:
        """Begin `gpt2 train` as a child of this process.

        Raises:
            CourseError: a run goes on already. UsageError: a number that cannot be.
        """
        if self.busy or ((seen := latest()) and seen.runs):
            raise CourseError("a run goes on already; stop it, or wait for its end")
        if not 1 <= epochs <= 1000:
            raise UsageError(f"epochs must be from 1 to 1000, not {epochs}")
        chosen = ["--resume"] if resume else ["--epochs", str(epochs), *["--mine"] * mine]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.lines.clear()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "common.cli", "train", *chosen,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT, cwd=ROOT, limit=1 << 20,
            env={**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"},
        )  # fmt: skip
        self.listening = asyncio.create_task(self._listen(self.process))
        self.watch()

    def stop(self) -> None:
        """Ask the run to finish its step, save and end."""
        if self.busy and self.process:
            with contextlib.suppress(ProcessLookupError):
                # Elsewhere there is no such signal, and it ends at once, with its last checkpoint.
                self.process.send_signal(signal.SIGTERM)

    async def close(self) -> None:
        """End the run, which saves first, and stop looking."""
        self.channel.close()
        if self.busy and self.process:
            self.stop()
            try:
                await asyncio.wait_for(self.process.wait(), _TO_SAVE)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    self.process.kill()
                await self.process.wait()
        for task in (self.listening, self.looking):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        with contextlib.suppress(ValueError):  # a line without an end
            async for line in process.stdout:
                self.lines.append(line.decode("utf-8", errors="replace").rstrip())
        await process.wait()

    async def _look(self) -> None:
        """Tell the pages whenever something has changed, until nobody listens and nothing runs."""
        while True:
            self.show()
            await asyncio.sleep(_EVERY)
            if self.channel.empty.is_set() and not self.busy:
                await asyncio.sleep(_EVERY)
                if self.channel.empty.is_set():
                    return

    def show(self) -> None:
        """Send what is new."""
        seen = latest()
        code = self.process.returncode if self.process else None
        state = (seen, self.busy, code, tuple(self.lines), bool(seen and seen.runs))
        if state != self.shown:
            self.shown = state
            said = self.lines if self.busy or code else ()
            self.channel.send(put={"training": training_pages.run(seen, self.busy, code, [*said])})


def latest() -> Seen | None:
    """The run that was written to last; None where there is none."""
    signs = [*RUNS.glob("*/now.json"), *RUNS.glob("*/history.jsonl")]
    dated = []
    for path in signs:
        with contextlib.suppress(OSError):
            dated.append((path.stat().st_mtime, path.parent))
    if not dated:
        return None
    run = max(dated)[1]
    return Seen(run, tuple(runs.read_history(run)), read(run))
