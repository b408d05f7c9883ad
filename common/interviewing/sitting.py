"""An attempt under way: its file is watched, its clock goes on, and its end runs the hidden tests."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime

from common.course.catalogue import Problem, shown
from common.course.readme import Folded
from common.files import content
from common.interviewing.asking import LIMIT, examples, hidden_tests
from common.interviewing.debrief import finish
from common.judging.records import Request, Verdict
from common.learner.attempts import Attempt
from common.running.session import Session


class Sitting:
    """What a screen and a page of an attempt have in common. They say what is shown, a hunt what is asked.

    Args:
        fresh: it began just now.
    """

    def __init__(self, problem: Problem, attempt: Attempt, *, fresh: bool) -> None:
        self.problem, self.attempt = problem, attempt
        self.resumed = not fresh  # nothing was saved since it was opened
        self.ending = ""  # why the hidden tests run
        self.stopped = 0.0  # when the clock was, in seconds since the epoch
        self.verdicts: list[Verdict] = []  # of what is asked at the end
        self.session = Session(LIMIT, self.on_verdict, self.on_begin, self.asked_at_a_save)

    def open(self) -> None:
        """Judge the file of an attempt that goes on; of a new one what was saved since it began counts as a save."""
        self.session.open(self.problem, check=self.resumed)
        if not self.resumed:
            self.session.seen[self.attempt.file] = self.began_as()

    async def run(self) -> None:
        """Watch the file and the clock."""
        clock = asyncio.create_task(self._tick())
        try:
            await self.session.run([self.attempt.folder])
        finally:
            clock.cancel()

    async def _tick(self) -> None:
        while self.attempt.runs:
            if self.attempt.left == 0:
                self.end("time was up")
            self.on_tick()
            await asyncio.sleep(self.attempt.left % 1 + 0.01 if self.attempt.left else 1.0)

    def end(self, how: str) -> None:
        """Stop and run the hidden tests; once.

        Args:
            how: "submitted", "given up" or "time was up".
        """
        if self.ending or not self.attempt.runs:
            return
        self.ending, self.stopped, self.session.listens = how, time.time(), False
        self.verdicts.clear()
        self.on_end(f"{how[0].upper()}{how[1:]}. Running the hidden tests ...")
        self.session.check(self.asked_at_the_end()[0])

    def hint(self) -> Folded | None:
        """Open one more hint, which the record remembers; once all are open, the last again."""
        hints = self.hints()
        if not hints or not self.attempt.runs:
            return None
        number = min(self.attempt.hints, len(hints) - 1)
        self.attempt = self.attempt.hinted(number + 1)
        return hints[number]

    def on_verdict(self, verdict: Verdict) -> None:
        """An answer has come."""
        if not self.ending:
            self.on_save(self.stamp(), verdict)
            return
        self.verdicts.append(verdict)
        asked = self.asked_at_the_end()
        if len(self.verdicts) < len(asked):
            self.session.check(asked[len(self.verdicts)])
        elif self.attempt.file.exists() or self.ending != "submitted":
            self.attempt, lines = self.finish(self.verdicts)
            self.on_over(lines)
        else:
            self.ending, self.session.listens = "", True
            self.on_missing(
                f"{shown(self.attempt.file)} is missing: put your file there, and submit again."
            )

    def stamp(self) -> str:
        """Of what an answer is."""
        resumed, self.resumed = self.resumed, False
        try:
            saved = datetime.fromtimestamp(self.attempt.file.stat().st_mtime)
        except OSError:  # it is gone, which the answer says
            saved = datetime.now()
        return "The file as it is:" if resumed else f"Saved at {saved:%H:%M:%S}."

    # --- what is asked

    def began_as(self) -> bytes:
        """The file as the candidate got it."""
        return content(self.attempt.given) or self.problem.skeleton.encode()

    def hints(self) -> list[Folded]:
        return self.problem.readme.hints

    def asked_at_a_save(self, problem: Problem) -> Request:
        return examples(problem, self.attempt)

    def asked_at_the_end(self) -> list[Request]:
        return [hidden_tests(self.problem, self.attempt)]

    def finish(self, verdicts: list[Verdict]) -> tuple[Attempt, list[str]]:
        """The record, and the report's lines, from all that was asked at the end."""
        return finish(self.problem, self.attempt, self.ending, verdicts[0])

    # --- what is shown

    def on_begin(self) -> None:
        """A file is being judged, or PyTorch is loaded now."""

    def on_tick(self) -> None:
        """A second has gone by."""

    def on_save(self, stamp: str, verdict: Verdict) -> None:
        """The examples were run."""

    def on_end(self, said: str) -> None:
        """The clock has stopped, and the hidden tests run."""

    def on_missing(self, said: str) -> None:
        """There was no file to run them on; the clock goes on."""

    def on_over(self, lines: list[str]) -> None:
        """They have been run."""
