"""A problem under watch for the pages that show it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from common.course.catalogue import Problem
from common.errors import CourseError
from common.judging.records import Verdict
from common.judging.restraint import Restraint
from common.pictures import wrong
from common.running.session import Session
from common.web import pages
from common.web.channel import Channel
from common.web.painter import Painter

_CALM = 0.25  # seconds without a save before anything is drawn, which takes the time of the next verdict


class Live:
    """A session whose verdicts go to pages.

    Args:
        limit: seconds that a file may take.
        think: hold causes back until they are asked for.
    """

    def __init__(self, limit: float, painter: Painter, *, think: bool) -> None:
        self.painter, self.restraint = painter, Restraint(think)
        self.session = Session(limit, self._on_verdict, self._on_begin, on_checked=self._on_checked)
        self.channel = Channel()
        self.verdict: Verdict | None = None
        self.task: asyncio.Task[None] | None = None
        self.painting: asyncio.Task[None] | None = None

    @property
    def problem(self) -> Problem:
        assert self.session.problem
        return self.session.problem

    @property
    def works(self) -> bool:
        """Whether it still watches."""
        return self.task is not None and not self.task.done()

    def open(self, problem: Problem) -> None:
        """Turn to a problem and judge its file."""
        self.channel.close()  # pages on another problem than this
        self.channel, self.verdict = Channel(), None
        self.channel.now = {"busy": "loading PyTorch ..."}
        self.restraint = Restraint(self.restraint.wanted)
        self.session.open(problem)
        self.task = self.task or asyncio.create_task(self._run())

    def check(self, *, by_cause: bool = False) -> None:
        """Judge the file now."""
        self.session.check(replace(self.session.request(self.problem), by_cause=by_cause))

    def tell_the_cause(self) -> None:
        """Show what was held back."""
        self.restraint.lifted = True
        self._show()

    async def close(self) -> None:
        """Stop watching, and end the processes."""
        self.channel.close()
        for task in (self.task, self.painting):
            if task:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    # --- what happens

    async def _run(self) -> None:
        try:
            await self.session.run()
        except (CourseError, OSError) as error:
            self.channel.send(busy="", put={"verdict": pages.broken(str(error))})

    def _on_begin(self) -> None:
        if self.painting:
            self.painting.cancel()  # what it would show is past
        waiting = "checking ..." if self.session.loaded else "loading PyTorch ..."
        self.channel.send(busy=waiting)

    def _on_checked(self, verdict: Verdict) -> None:
        self.verdict = verdict
        self._show()

    def _on_verdict(self, verdict: Verdict) -> None:
        self.verdict = verdict
        if not verdict.request.by_cause:
            self.restraint.look(verdict)
        self._show()
        # Not before this: the road reads every file, and a picture runs the learner's code once more.
        asyncio.get_running_loop().call_soon(self._show_the_rest, verdict)

    def _show(self) -> None:
        if self.verdict:
            html = pages.verdict(self.problem, self.verdict, self.restraint)
            title = pages.verdict_title(self.problem, self.verdict)
            self.channel.send(busy="", title=title, put={"verdict": html})

    def _show_the_rest(self, verdict: Verdict) -> None:
        self.channel.send(put={"road": pages.road_of(self.problem)})
        if self.painting:
            self.painting.cancel()
        self.painting = asyncio.create_task(self._paint(verdict, self.painting))

    # --- pictures

    async def _paint(self, verdict: Verdict, earlier: asyncio.Task[None] | None) -> None:
        """What the verdict is about, drawn; the picture of the idea is then asked for by the page itself."""
        if earlier:
            await asyncio.wait([earlier])
        await asyncio.sleep(_CALM)
        self.channel.once(drawn=True)
        if not verdict.wrong:
            self.channel.send(put={"wrong": ""})
            return
        html = await self.painter.of_what_is_wrong(verdict)
        self.channel.send(put={"wrong": pages.wrong(wrong.controls(verdict), html)})

    async def wrong_picture(self, chosen: dict[str, str]) -> str:
        """Another slice of the tensor that the last verdict is about, as HTML."""
        return await self.painter.of_what_is_wrong(self.verdict, chosen) if self.verdict else ""

    async def picture(self, chosen: dict[str, str]) -> str:
        """The problem's picture as HTML.

        Args:
            chosen: a value for each control.
        """
        return await self.painter.of_the_idea(self.problem, chosen)
