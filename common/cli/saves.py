"""Saved files, as events in a selector. Editors save in many ways; only what a file then holds counts."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from pathlib import Path

from watchfiles import watch


class Saves:
    """Watches folders in a thread. `fileno()` is readable when something changed in them.

    It is readable once, too, when watching has begun: what was saved while it was being set up brings no
    event, so the caller then compares contents.
    """

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = [folder for folder in folders if folder.is_dir()]
        self.reader, self.writer = os.pipe()
        self.lock = threading.Lock()
        self.changed: set[Path] = set()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        # A burst of events (write, rename, touch) is over once 30 ms pass without another one.
        events = watch(
            *self.folders,
            stop_event=self.stop,
            step=30,
            debounce=400,
            rust_timeout=500,
            yield_on_timeout=True,
        )
        for number, batch in enumerate(events):
            paths = {Path(name) for _, name in batch if "__pycache__" not in name}
            if paths or number == 0:
                with self.lock:
                    self.changed |= paths
                os.write(self.writer, b".")

    def fileno(self) -> int:
        return self.reader

    def take(self) -> set[Path]:
        """The paths that changed since the last call; none when watching has just begun."""
        os.read(self.reader, 1024)
        with self.lock:
            changed, self.changed = self.changed, set()
        return changed

    def close(self) -> None:
        self.stop.set()
        self.thread.join(timeout=2)


def content(path: Path) -> bytes:
    """What the file holds now; nothing where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
