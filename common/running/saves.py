"""Saved files, as they come. Editors save in many ways; only what a file then holds counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from watchfiles import awatch


async def saves(folders: Iterable[Path]) -> AsyncIterator[set[Path]]:
    """The paths that changed, a set for each burst of events.

    The first set may be empty: watching has begun. What was saved while it was being set up brings no event,
    so whoever listens then compares contents.
    """
    # A burst of events (write, rename, touch) is over once 10 ms pass without another one.
    events = awatch(
        *(folder for folder in folders if folder.is_dir()),
        step=10,
        debounce=400,
        rust_timeout=500,
        yield_on_timeout=True,
    )
    first = True
    async for batch in events:
        paths = {Path(name) for _, name in batch if "__pycache__" not in name}
        if paths or first:
            yield paths
        first = False
