"""What goes on behind the pages: problems under watch, an attempt with its clock, a training run."""

from __future__ import annotations

import asyncio
import contextlib

from common.course.catalogue import Problem
from common.errors import CourseError
from common.learner import attempts
from common.learner.attempts import Attempt
from common.web.live import Live
from common.web.painter import Painter
from common.web.sitting import SittingPage
from common.web.training import Training

_MOST = 3  # problems under watch at once; each has PyTorch loaded in a process of its own
_A_MOMENT = 0.2  # seconds in which the page that is left lets go of its session


class Hub:
    """Begins what a page needs, keeps what can be used again, and ends it all.

    Args:
        limit: seconds that a file may take.
        think: hold causes back until they are asked for.
    """

    def __init__(self, limit: float, *, think: bool) -> None:
        self.limit, self.think = limit, think
        self.painter = Painter()
        self.lives: list[Live] = []
        self.sittings: dict[str, SittingPage] = {}
        self.training = Training()
        self.turn = asyncio.Lock()
        self.closed = False

    async def live(self, problem: Problem) -> Live:
        """The session on a problem; one that nobody looks at any more turns to it.

        Raises:
            CourseError: too many are looked at already.
        """
        async with self.turn:
            for live in [*self.lives]:
                if not live.works:
                    await self._drop(live)
            if found := next((x for x in self.lives if x.problem == problem), None):
                return found
            live = await self._idle() or self._another()
            live.open(problem)
            return live

    async def _idle(self) -> Live | None:
        if not self.lives:
            return None
        waits = [asyncio.create_task(live.channel.empty.wait()) for live in self.lives]
        await asyncio.wait(waits, timeout=_A_MOMENT, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return next((x for x in self.lives if x.channel.empty.is_set()), None)

    def _another(self) -> Live:
        if len(self.lives) >= _MOST:
            open_ones = ", ".join(x.problem.key for x in self.lives)
            raise CourseError(
                f"{_MOST} problems are open already ({open_ones}): close one of these pages, then load this one again"
            )
        live = Live(self.limit, self.painter, think=self.think)
        self.lives.append(live)
        return live

    async def _drop(self, live: Live) -> None:
        self.lives.remove(live)
        await live.close()

    # --- interviews

    def sitting(self, problem: Problem) -> SittingPage | None:
        """The attempt that is running, taken up where it lies on the disk if need be."""
        going = self.sittings.get(problem.name)
        if going and going.attempt.runs and going.works:
            return going
        attempt = attempts.running(problem)
        return self._sit(problem, attempt, fresh=False) if attempt else None

    def begin(self, problem: Problem, minutes: float) -> SittingPage:
        """A new attempt, or the one that is running."""
        attempt = attempts.running(problem)
        if attempt:
            return self.sitting(problem) or self._sit(problem, attempt, fresh=False)
        return self._sit(problem, attempts.begin(problem, minutes), fresh=True)

    def _sit(self, problem: Problem, attempt: Attempt, *, fresh: bool) -> SittingPage:
        self.sittings[problem.name] = sitting = SittingPage(problem, attempt, fresh=fresh)
        return sitting

    # --- the end

    def hang_up(self) -> None:
        """End the stream of every page, and what waits for a picture."""
        self.closed = True
        self.painter.ends.set()
        for each in (*self.lives, *self.sittings.values(), self.training):
            each.channel.close()

    async def close(self) -> None:
        """End every process."""
        self.hang_up()
        everything = [*self.lives, *self.sittings.values(), self.training, self.painter]
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*(each.close() for each in everything), return_exceptions=True)
