"""What the server says to the pages that listen: server-sent events, each a few changes of the page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

_BEAT = 15.0  # seconds after which silence is broken, so that a page that has gone is noticed
_WAITING = 64  # messages that a page may be behind; then it is cut off, comes back, and gets what holds now


class Channel:
    """Hands each message to every page, and what holds now to a page that comes later.

    A message names what it changes: "put" maps ids of elements to their new HTML, which is made by templates and
    escaped there; "busy", "title", "left" and "go" are plain values.
    """

    def __init__(self) -> None:
        self.pages: set[asyncio.Queue[str | None]] = set()
        self.now: dict[str, Any] = {}
        self.empty = asyncio.Event()  # nobody listens
        self.empty.set()

    def send(self, **change: Any) -> None:
        """Tell all pages."""
        put = {**self.now.get("put", {}), **change.get("put", {})}
        self.now = {**self.now, **change, "put": put}
        self._say(change)

    def once(self, **change: Any) -> None:
        """Tell the pages that are there; those that come later need not know."""
        self._say(change)

    def _say(self, change: dict[str, Any]) -> None:
        for page in [*self.pages]:
            if page.qsize() >= _WAITING:
                self.pages.discard(page)
                page.put_nowait(None)
            else:
                page.put_nowait(f"data: {json.dumps(change)}\n\n")

    async def events(self) -> AsyncIterator[str]:
        """The text of one page's stream, until it goes or the channel is closed."""
        page: asyncio.Queue[str | None] = asyncio.Queue()
        self.pages.add(page)
        self.empty.clear()
        try:
            yield f"retry: 1000\ndata: {json.dumps(self.now)}\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(page.get(), _BEAT)
                except TimeoutError:
                    text = ":\n\n"
                if text is None:
                    return
                yield text
        finally:
            self.pages.discard(page)
            if not self.pages:
                self.empty.set()

    def close(self) -> None:
        """End the stream of every page."""
        for page in self.pages:
            page.put_nowait(None)
