"""Draws in a process of its own, one picture at a time, and keeps the last ones for the browser to fetch."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict

from common.errors import CourseError
from common.judging.records import Drawn, Request
from common.judging.report import ended_lines
from common.running.judge import Judge
from common.web import pages

_KEPT = 64  # SVG texts


class Painter:
    """A judge that is asked for pictures only: no save waits for it."""

    def __init__(self) -> None:
        self.judge: Judge | None = None
        self.turn = asyncio.Lock()
        self.album: OrderedDict[str, str] = OrderedDict()

    async def figures(self, request: Request) -> str:
        """The pictures of a request as HTML, or the reason why there are none."""
        async with self.turn:
            self.judge = self.judge or Judge()
            try:
                verdict = await self.judge.judge(request)
            except CourseError as error:
                return pages.no_picture([str(error)])
        if verdict.ended:
            return pages.no_picture(ended_lines(verdict))
        return pages.figures([(each, *self._kept(each)) for each in verdict.pictures])

    def svg(self, name: str) -> str | None:
        """A picture that was drawn lately."""
        return self.album.get(name)

    async def close(self) -> None:
        """End the process."""
        if self.judge:
            await self.judge.close()

    def _kept(self, drawn: Drawn) -> tuple[str, str]:
        """Names under which the light and the dark one can be fetched."""
        names = []
        for text in (drawn.light, drawn.dark):
            names.append(hashlib.sha256(text.encode()).hexdigest()[:24])
            self.album[names[-1]] = text
            self.album.move_to_end(names[-1])
        while len(self.album) > _KEPT:
            self.album.popitem(last=False)
        return names[0], names[1]
