"""A problem under watch: saves come in, verdicts go out. What shows them is somebody else's business."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from common.course.catalogue import ROOT, Problem
from common.errors import CourseError
from common.files import content
from common.judging.records import Request, Verdict
from common.learner import progress
from common.running.judge import Judge
from common.running.saves import saves

_PATIENCE = (
    0.2  # seconds after a save for which a failure is held back, so that it comes with its cause
)


class Session:
    """Judges a problem's file at every save of it, of its tests or of the harness.

    Args:
        limit: seconds that a file may take.
        on_verdict: gets each verdict that still is about the file as it lies there.
        on_begin: is called when judging begins, and again once PyTorch is loaded.
        request: what to ask for; by default all checks on the learner's file.
        on_checked: gets what failed where the cause takes longer to find than one likes to wait.
    """

    def __init__(
        self,
        limit: float,
        on_verdict: Callable[[Verdict], None],
        on_begin: Callable[[], None] = lambda: None,
        request: Callable[[Problem], Request] | None = None,
        on_checked: Callable[[Verdict], None] = lambda _: None,
    ) -> None:
        self.limit, self.on_verdict, self.on_begin = limit, on_verdict, on_begin
        self.on_checked = on_checked
        self.request = request or (
            lambda problem: Request(problem.name, problem.solution, limit=limit)
        )
        self.judge = Judge(on_ready=self._loaded)
        self.loaded = self.judging = False
        self.begun = 0.0  # when judging did, on the monotonic clock
        self.listens = True  # to saves; an interview that was submitted does not
        self.problem: Problem | None = None
        self.seen: dict[Path, bytes] = {}
        self.task: asyncio.Task[None] | None = None
        self.early: asyncio.TimerHandle | None = None  # shows what failed without its cause
        self.failure: asyncio.Future[None] | None = None

    def open(self, problem: Problem, *, check: bool = True) -> None:
        """Go to a problem and judge its file."""
        self.problem = problem
        self.seen = self._contents()
        self.judge.warm(problem)
        if check:
            self.check()

    def check(self, request: Request | None = None) -> None:
        """Judge the file as it is now; a judgement under way is ended unheard.

        Args:
            request: something else to ask for this time.
        """
        assert self.problem
        if self.task:
            self.task.cancel()
        self.judging, self.begun = True, time.monotonic()
        self.on_begin()
        request = request or self.request(self.problem)
        self.task = asyncio.create_task(self._check(request, self.task))
        self.task.add_done_callback(self._done)

    async def run(self, folders: list[Path] | None = None) -> None:
        """Watch until cancelled.

        Args:
            folders: where saves count, beside the harness; by default where the problems are.
        """
        self.failure = asyncio.get_running_loop().create_future()
        watcher = asyncio.create_task(self._watch(folders))
        try:
            await asyncio.wait([watcher, self.failure], return_when=asyncio.FIRST_COMPLETED)
            for each in (watcher, self.failure):
                if each.done():
                    await each
        finally:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher
            await self._stop()
            await self.judge.close()

    async def _stop(self) -> None:
        if self.task:
            self.task.cancel()
            with contextlib.suppress(asyncio.CancelledError, CourseError):
                await self.task
            self.task = None

    async def _watch(self, folders: list[Path] | None) -> None:
        assert self.problem
        places = folders or [ROOT / "problems", self.problem.root / "problems"]
        async for paths in saves(dict.fromkeys([*places, ROOT / "common"])):
            if any(path.suffix == ".py" and ROOT / "common" in path.parents for path in paths):
                self.loaded = False
                await self._stop()
                await self.judge.start()
                self.check()
            elif self.listens and (now := self._contents()) != self.seen:
                self.seen = now
                self.problem.__dict__.pop("readme", None)  # read anew
                self.check()

    async def _check(self, request: Request, earlier: asyncio.Task[None] | None) -> None:
        if earlier:  # which was cancelled; a cancellation of this one comes through
            await asyncio.wait([earlier])
        problem, before = self.problem, self._contents()
        try:
            verdict = await self.judge.judge(request, self._checked)
        finally:
            if self.early:
                self.early.cancel()
        self.judging = False
        if problem == self.problem and before == self._contents():
            progress.record(verdict)
            self.on_verdict(verdict)

    def _checked(self, verdict: Verdict) -> None:
        if verdict.partial:
            left = max(0.0, self.begun + _PATIENCE - time.monotonic())
            self.early = asyncio.get_running_loop().call_later(left, self.on_checked, verdict)

    def _done(self, task: asyncio.Task[None]) -> None:
        if (
            not task.cancelled()
            and (error := task.exception())
            and self.failure
            and not self.failure.done()
        ):
            self.failure.set_exception(error)

    def _loaded(self) -> None:
        self.loaded = True
        if self.judging:
            self.on_begin()

    def _contents(self) -> dict[Path, bytes]:
        assert self.problem
        files = [self.request(self.problem).file, self.problem.readme_file, *self.problem.tests]
        return {path: content(path) for path in files}
