"""This side of the pipe: asks the worker for verdicts, ends what takes too long, starts it again when it is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from common.course.catalogue import ROOT, Problem, shown
from common.errors import CourseError
from common.judging.records import Ended, Request, Verdict

# Elsewhere system libraries that torch uses do not survive a fork. GPT2_NO_FORK tries that way on Linux.
CAN_FORK = sys.platform == "linux" and "GPT2_NO_FORK" not in os.environ
_GRACE = 1.0  # seconds after the limit in which a child may still end by itself
_TO_EXPLAIN = 40.0  # seconds in which a cause is looked for, at most
_LONGEST = 1 << 26  # bytes of an answer


class WorkerGone(CourseError):
    """The worker ended, and not because of the file that it judged."""


class Judge:
    """A worker, and where nothing can be forked a spare one for the next file."""

    def __init__(self, *, on_ready: Callable[[], None] = lambda: None) -> None:
        self.on_ready = on_ready
        self.workers: list[_Worker] = []  # the first is the next to be asked
        self.warmed: Problem | None = None
        self.folder = tempfile.TemporaryDirectory(prefix="gpt2-", ignore_cleanup_errors=True)
        self.trace = Path(self.folder.name, "trace")

    async def start(self) -> None:
        """Start the worker, or start it anew after code that it holds has changed."""
        await self._end(self.workers)
        self.workers = [await self._spawn() for _ in range(1 if CAN_FORK else 2)]

    async def _spawn(self) -> _Worker:
        worker = await _Worker.start(once=not CAN_FORK)
        if self.warmed:
            worker.send("warm", self.warmed.name)
        return worker

    def warm(self, problem: Problem) -> None:
        """Let it load what the problem's checks need, ahead of the first save."""
        self.warmed = problem
        for worker in self.workers:
            worker.send("warm", problem.name)

    async def judge(
        self, request: Request, on_checked: Callable[[Verdict], None] = lambda _: None
    ) -> Verdict:
        """The verdict on a file. Cancelled, it ends the child; a limit that passes is part of the verdict.

        Args:
            on_checked: called with what failed, before its cause is looked for.
        """
        for again in (True, False):
            if not self.workers:
                await self.start()
            worker = self.workers[0]
            if not CAN_FORK:
                del self.workers[0]
                self.workers.append(await self._spawn())
            try:
                return await worker.judge(request, self.trace, self.on_ready, on_checked)
            except WorkerGone:
                if CAN_FORK:
                    self.workers.clear()
                if not again:
                    raise
            finally:
                if not CAN_FORK:
                    await self._end([worker])
        raise AssertionError

    async def close(self) -> None:
        """End the worker and whatever it is judging."""
        await self._end(self.workers)
        self.workers = []
        self.folder.cleanup()

    @staticmethod
    async def _end(workers: list[_Worker]) -> None:
        for worker in workers:
            await worker.end()


class _Worker:
    """One process. It judges one file at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.child = 0  # the process that is judging; it may be the worker itself
        self.busy = False  # a child has not been heard to end

    @classmethod
    async def start(cls, *, once: bool) -> _Worker:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        command = [sys.executable, "-m", "common.running.worker", *(["--once"] if once else [])]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            limit=_LONGEST,
        )
        return cls(process)

    def send(self, word: str, value: Any) -> None:
        assert self.process.stdin
        with contextlib.suppress(
            ConnectionError, RuntimeError
        ):  # it is gone; the next answer says so
            self.process.stdin.write(f"{word} {json.dumps(value)}\n".encode())

    async def judge(
        self,
        request: Request,
        trace: Path,
        on_ready: Callable[[], None],
        on_checked: Callable[[Verdict], None],
    ) -> Verdict:
        """The verdict, or why there is none.

        Raises:
            WorkerGone: it ended without having begun to judge.
        """
        await self._until_idle()
        trace.unlink(missing_ok=True)
        self.child, self.busy = 0, True
        checked: Verdict | None = None
        self.send("judge", [request.to_json(), str(trace)])
        try:
            async with asyncio.timeout(request.limit + _GRACE) as clock:
                clock.reschedule(None)  # loading torch takes what it takes
                while True:
                    word, value = await self._hear()
                    if word == "ready":
                        on_ready()
                    elif word == "child":
                        clock.reschedule(asyncio.get_running_loop().time() + request.limit + _GRACE)
                    elif word == "checked":
                        seen = Verdict.from_json(value)
                        on_checked(seen)
                        checked = replace(seen, partial=False)
                        # The rest names the cause; without an end to it the outcomes alone are an answer.
                        clock.reschedule(asyncio.get_running_loop().time() + _TO_EXPLAIN)
                    elif word == "verdict":
                        return Verdict.from_json(value)
                    elif word == "exit":
                        return checked or _ended(request, trace, value)
        except TimeoutError:  # stuck where even the child's own timer does not run
            self._kill()
            return checked or Verdict(
                request, ended=Ended.TIMEOUT, where=_where(trace, request.file)
            )
        except asyncio.CancelledError:
            self._kill()
            raise

    async def _hear(self) -> tuple[str, Any]:
        """The next message; the end of the process counts as one if it had begun to judge."""
        assert self.process.stdout
        line = await self.process.stdout.readline()
        if not line:
            code = await self.process.wait()
            if not self.child:
                raise WorkerGone(f"the judging process ended by itself (exit code {code})")
            self.busy = False
            return "exit", code
        word, _, text = line.decode().partition(" ")
        value = json.loads(text)
        if word == "child":
            self.child = value
        elif word == "exit":
            self.busy = False
        return word, value

    async def _until_idle(self) -> None:
        """Hear a child to its end that has given its verdict, or whose verdict nobody wants any more."""
        while self.busy:
            word, _ = await self._hear()
            if word == "child":
                self._kill()

    def _kill(self) -> None:
        """End the child, if it has begun, and all it started."""
        if self.child == self.process.pid:
            self.process.kill()
        elif self.child:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child, signal.SIGKILL)

    async def end(self) -> None:
        """End the process, and the child with it."""
        if self.busy and self.child and self.child != self.process.pid:
            self._kill()
        assert self.process.stdin
        self.process.stdin.close()
        try:
            async with asyncio.timeout(3.0 if self.busy else 0.2):
                with contextlib.suppress(
                    WorkerGone, RuntimeError
                ):  # or somebody else listens to it
                    await self._until_idle()  # a child that was begun unheard would hold the pipe
                await self.process.wait()
        except TimeoutError:
            pass
        finally:  # also where the end is cancelled, or an answer broke off in the middle
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()


def _ended(request: Request, trace: Path, code: int) -> Verdict:
    """Why a child ended without a verdict."""
    if "Timeout" in _text(trace):
        return Verdict(request, ended=Ended.TIMEOUT, where=_where(trace, request.file))
    if code >= 0:
        return Verdict(request, ended=Ended.CRASH, where=f"exit code {code}")
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = str(-code)
    return Verdict(request, ended=Ended.CRASH, where=f"signal {name}")


def _where(trace: Path, path: Path) -> str:
    """The learner's innermost line in a stack that faulthandler wrote."""
    for line in _text(trace).splitlines():
        if f'"{path}"' in line:
            number, _, name = line.partition(", line ")[2].partition(" in ")
            return f"{shown(path)}, line {number}, in {name}"
    return ""


def _text(trace: Path) -> str:
    try:
        return trace.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
