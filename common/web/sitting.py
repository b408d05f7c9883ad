"""An attempt at an interview for the page that shows it. The attempt lives on the disk, and its clock goes on."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime

from common.course.catalogue import Problem
from common.course.readme import Folded
from common.errors import CourseError
from common.interviewing.asking import LIMIT, examples, hidden_tests
from common.interviewing.debrief import finish
from common.judging.records import Verdict
from common.learner.attempts import Attempt
from common.running.session import Session
from common.web import interview_pages
from common.web.channel import Channel


class Sitting:
    """A session on the attempt's file, and the clock."""

    def __init__(self, problem: Problem, attempt: Attempt, *, fresh: bool) -> None:
        self.problem, self.attempt = problem, attempt
        self.channel = Channel()
        self.ending = ""  # why the hidden tests run
        self.resumed = not fresh
        self.session = Session(
            LIMIT, self._on_verdict, self._on_begin, lambda p: examples(p, self.attempt)
        )
        self.session.open(problem, check=not fresh)
        if fresh:  # what was saved since counts as a save
            self.session.seen[attempt.file] = problem.skeleton.encode()
        self.tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._tick())]

    @property
    def works(self) -> bool:
        """Whether the file is watched."""
        return not self.tasks[0].done()

    def hint(self) -> Folded | None:
        """Open one more hint, which the record remembers."""
        hints = self.problem.readme.hints
        if not hints or not self.attempt.runs:
            return None
        number = min(self.attempt.hints, len(hints) - 1)
        self.attempt = self.attempt.hinted(number + 1)
        return hints[number]

    def end(self, how: str) -> None:
        """Stop and run the hidden tests; once.

        Args:
            how: "submitted", "given up" or "time was up".
        """
        if self.ending or not self.attempt.runs:
            return
        self.ending, self.session.listens = how, False
        said = f"{how[0].upper()}{how[1:]}. Running the hidden tests ..."
        self.channel.send(busy=said, ending=True)
        self.session.check(hidden_tests(self.problem, self.attempt))

    async def close(self) -> None:
        """Stop watching; the attempt stays on the disk."""
        self.channel.close()
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _run(self) -> None:
        try:
            await self.session.run([self.attempt.folder])
        except (CourseError, OSError) as error:
            self.channel.send(busy="", put={"verdict": interview_pages.broken(str(error))})

    async def _tick(self) -> None:
        while self.attempt.runs and not self.ending:
            if self.attempt.left == 0:
                self.end("time was up")
            await asyncio.sleep(min(self.attempt.left, 1.0) + 0.01)

    def _on_begin(self) -> None:
        if not self.ending:
            self.channel.send(
                busy="running the examples ..." if self.session.loaded else "loading PyTorch ..."
            )

    def _on_verdict(self, verdict: Verdict) -> None:
        if self.ending:
            self._finish(verdict)
            return
        resumed, self.resumed = self.resumed, False
        stamp = "The file as it is:" if resumed else f"Saved at {datetime.now():%H:%M:%S}."
        html = interview_pages.examples(stamp, verdict)
        self.channel.send(busy="", put={"verdict": html})

    def _finish(self, verdict: Verdict) -> None:
        if not self.attempt.file.exists():  # nothing to give a time to
            self.ending, self.session.listens = "", True
            said = f"{self.attempt.file} is missing: put your file there, and submit again."
            self.channel.send(busy="", ending=False, put={"verdict": interview_pages.broken(said)})
            return
        self.attempt, _ = finish(self.problem, self.attempt, self.ending, verdict)
        self.channel.send(busy="", go=f"/interview/{self.problem.key[-2:]}")
        self.tasks.append(asyncio.create_task(self.close()))
