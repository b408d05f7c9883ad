"""An attempt at an interview for the page that shows it. The attempt lives on the disk, and its clock goes on."""

from __future__ import annotations

import asyncio
import contextlib

from common.course.catalogue import Problem
from common.errors import CourseError
from common.interviewing.sitting import Sitting
from common.judging.records import Verdict
from common.learner.attempts import Attempt
from common.web import interview_pages
from common.web.channel import Channel


class SittingPage(Sitting):
    """An attempt whose verdicts go to a page."""

    def __init__(self, problem: Problem, attempt: Attempt, *, fresh: bool) -> None:
        super().__init__(problem, attempt, fresh=fresh)
        self.channel = Channel()
        self.open()
        self.task = asyncio.create_task(self._run())
        self.closing: asyncio.Task[None] | None = None

    @property
    def works(self) -> bool:
        """Whether the file is watched."""
        return not self.task.done()

    async def close(self) -> None:
        """Stop watching; the attempt stays on the disk."""
        self.channel.close()
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task

    async def _run(self) -> None:
        try:
            await self.run()
        except (CourseError, OSError) as error:
            self._put(interview_pages.broken(str(error)))

    def _put(self, html: str) -> None:
        self.channel.send(busy="", ending=bool(self.ending), put={"verdict": html})

    # --- what is shown

    def on_begin(self) -> None:
        if not self.ending:
            waiting = "running the examples ..." if self.session.loaded else "loading PyTorch ..."
            self.channel.send(busy=waiting)

    def on_save(self, stamp: str, verdict: Verdict) -> None:
        self._put(interview_pages.examples(stamp, verdict))

    def on_end(self, said: str) -> None:
        self.channel.send(busy=said, ending=True)

    def on_missing(self, said: str) -> None:
        self._put(interview_pages.broken(said))

    def on_over(self, lines: list[str]) -> None:
        self.channel.send(busy="", go=f"/interview/{self.problem.key[-2:]}")
        self.closing = asyncio.create_task(self.close())
