"""Draws one picture at a time, beside the loop, and keeps the last ones for the browser to fetch."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable

from common.course.catalogue import Problem
from common.errors import CourseError
from common.judging.records import Verdict
from common.pictures import ideas, wrong
from common.pictures.picture import Picture
from common.web import pages

_KEPT = 64  # SVG texts


class Painter:
    """Pictures as HTML, or the reason why there are none. No save waits for one."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.ends = asyncio.Event()  # the server does: nobody waits for a picture any more
        self.album: OrderedDict[str, str] = OrderedDict()

    async def of_the_idea(self, problem: Problem, chosen: dict[str, str]) -> str:
        """The problem's picture, drawn by the learner's code in a child as far as it works.

        Args:
            chosen: a value for each control.
        """
        return await self._figures(lambda: [ideas.picture(problem, chosen)])

    async def of_what_is_wrong(self, verdict: Verdict, chosen: dict[str, str] | None = None) -> str:
        """The wrong tensor of a verdict beside the right one.

        Args:
            chosen: an index for each axis before the rows.
        """
        return await self._figures(lambda: wrong.pictures(verdict, chosen))

    def svg(self, name: str) -> str | None:
        """A picture that was drawn lately."""
        return self.album.get(name)

    async def close(self) -> None:
        """End the process that draws."""
        await asyncio.to_thread(ideas.close)

    async def _figures(self, draw: Callable[[], list[Picture]]) -> str:
        drawing = asyncio.create_task(asyncio.to_thread(self._drawn, draw))
        ending = asyncio.create_task(self.ends.wait())
        try:
            await asyncio.wait([drawing, ending], return_when=asyncio.FIRST_COMPLETED)
            if not drawing.done():
                return ""
            drawn = drawing.result()
        except CourseError as error:
            return pages.no_picture([str(error)])
        finally:
            drawing.cancel()
            ending.cancel()
        return pages.figures([(p, self._kept(light), self._kept(dark)) for p, light, dark in drawn])

    def _drawn(self, draw: Callable[[], list[Picture]]) -> list[tuple[Picture, str, str]]:
        with self.turn:
            if self.ends.is_set():
                raise CourseError("the server ends")
            return [(p, p.svg("light"), p.svg("dark")) for p in draw()]

    def _kept(self, svg: str) -> str:
        """The name under which it can be fetched."""
        name = hashlib.sha256(svg.encode()).hexdigest()[:24]
        self.album[name] = svg
        self.album.move_to_end(name)
        while len(self.album) > _KEPT:
            self.album.popitem(last=False)
        return name
