"""What grades on this machine: a judge and a room for each student that is being graded at the moment."""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from typing import Any

from common.course.catalogue import ROOT, Problem, find
from common.errors import CourseError
from common.grading.exchange.wire import Over, Wire
from common.grading.libraries import wanted
from common.grading.rooms import Agents, Limits, Room

Result = dict[str, Any]  # of one problem of one student; see judging.Case.result
_AGAIN = 2  # times that a submission whose process has ended gets another one, with a quarter of the limits
_GRACE = 60.0  # seconds that a judge may take to come to an end after a student's process was ended


class Engine:
    """Grades students, as many at a time as it has judges.

    Args:
        secret: what the inputs of all checks follow from.
        workers: students at a time.
        sandbox: shut submissions in with bubblewrap.

    Raises:
        CourseError: a process does not start, or a reference fails its own checks.
    """

    def __init__(
        self,
        problems: Sequence[Problem],
        secret: str,
        limits: Limits,
        *,
        workers: int,
        sandbox: bool,
    ) -> None:
        self.secret, self.limits, self.workers = secret, limits, workers
        self.agents = Agents(sandbox=sandbox)
        # What checks write lies in a folder of its own: files are sent along by their names (exchange/files.py).
        self.folder = tempfile.TemporaryDirectory(prefix="gpt2-checks-", ignore_cleanup_errors=True)
        self.mother = _Judge.start(self.folder.name)
        self.lock = threading.Lock()
        self.judges: queue.SimpleQueue[_Judge] = queue.SimpleQueue()
        try:
            said = self.mother.ask(do="prepare", problems=[p.name for p in problems], secret=secret)
            self.checks: dict[str, list[str]] = {
                n: p["checks"] for n, p in said["problems"].items()
            }
            self.free: dict[str, list[str]] = {n: p["free"] for n, p in said["problems"].items()}
            self.agents.wait()
            for _ in range(workers):
                self.judges.put(self._judge())
        except BaseException:
            self.close()
            raise

    def grade(self, files: Mapping[str, str]) -> dict[str, Result]:
        """One student's results, by problem.

        Args:
            files: the text of each solution, by the problem's name.
        """
        judge = self.judges.get()
        results = {}
        try:
            with _Rooms(self.agents) as rooms:
                for name, source in files.items():
                    for again in (True, False):
                        try:
                            results[name] = self._problem(judge, rooms, find(name), source)
                            break
                        except (Over, CourseError, OSError) as error:
                            # The judge or the room is gone: another try with new ones, and then it is told.
                            rooms.close()
                            judge.end()
                            judge = self._judge()
                            results[name] = nothing(f"could not be judged: {error}")
                            if not again:
                                break
        finally:
            self.judges.put(judge)
        return results

    def _problem(self, judge: _Judge, rooms: _Rooms, problem: Problem, source: str) -> Result:
        began, limits, ends = time.monotonic(), self.limits, []
        room = rooms.of(wanted(problem))
        connection, number = room.begin(limits)
        judge.send(connection, do="judge", problem=problem.name, secret=self.secret, source=source,
                   file=f"{problem.name}/solution.py")  # fmt: skip
        for tries in range(1, _AGAIN + 2):
            answer = judge.answer(limits.patience)
            late = answer is None
            status = room.end(number, kill=True)
            answer = judge.answer(_GRACE) if late else answer
            if answer is None:
                raise CourseError("the judge does not come to an end")
            if "result" in answer:
                break
            ends.append(_how(status, limits, late=late))
            again = tries <= _AGAIN and answer["left"] > 1 and not late
            if again:
                limits = Limits(self.limits.seconds / 4, self.limits.memory)
                if status is None:
                    rooms.close()
                room = rooms.of(wanted(problem))
                connection, number = room.begin(limits)
                judge.send(connection, do="go on", ended=ends[-1], again=True)
            else:
                answer = judge.ask(do="go on", ended=ends[-1], again=False)
                break
        result = answer["result"]
        return result | {"ends": ends, "seconds": round(time.monotonic() - began, 2)}

    def _judge(self) -> _Judge:
        with self.lock:
            return self.mother.fork()

    def close(self) -> None:
        """End all its processes."""
        with contextlib.suppress(queue.Empty):
            while True:
                self.judges.get_nowait().end()
        self.mother.end()
        self.agents.close()
        self.folder.cleanup()


def nothing(why: str) -> Result:
    """The result of what was not judged, through no fault of the student's; it is tried again in the next run."""
    empty: Result = {name: [] for name in ("passed", "failed", "cause", "ends")}
    return empty | {
        "lines": [why],
        "flags": [why],
        "failure": "",
        "seconds": 0.0,
        "failure_of_ours": True,
    }


class _Rooms:
    """The rooms of one student: one for each set of packages that a problem may use."""

    def __init__(self, agents: Agents) -> None:
        self.agents = agents
        self.room: Room | None = None

    def __enter__(self) -> _Rooms:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def of(self, distributions: tuple[str, ...]) -> Room:
        if self.room is None or self.room.distributions != distributions:
            self.close()
            self.room = Room(self.agents, distributions)
        return self.room

    def close(self) -> None:
        if self.room:
            self.room.close()
        self.room = None


class _Judge:
    """A judge's process, from this side."""

    def __init__(self, questions: socket.socket, handles: socket.socket, process: int) -> None:
        self.wire, self.handles, self.process = Wire(questions), handles, process
        self.started: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, folder: str) -> _Judge:
        """The first one, which the others are forked from.

        Args:
            folder: for the files of checks.
        """
        with _sockets() as (ours, theirs):
            numbers = [s.fileno() for s in theirs]
            environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
            environment |= {
                "TMPDIR": folder,
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "MKL_NUM_THREADS": "1",
            }
            started = subprocess.Popen(
                [sys.executable, "-m", "common.grading.judging", *map(str, numbers)], pass_fds=numbers, cwd=ROOT,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True,
                env=environment,
            )  # fmt: skip
        judge = cls(*ours, started.pid)
        judge.started = started
        return judge

    def fork(self) -> _Judge:
        """Another one, which knows what this one knows."""
        with _sockets() as (ours, theirs):
            for each in theirs:
                socket.send_fds(self.handles, [b"."], [each.fileno()])
            process = self.ask(do="fork")["process"]
        return _Judge(*ours, process)

    def send(self, connection: socket.socket, **question: Any) -> None:
        """Put a question to which the connection belongs."""
        with connection:
            socket.send_fds(self.handles, [b"."], [connection.fileno()])
        self.wire.send(question, [])

    def answer(self, seconds: float) -> dict[str, Any] | None:
        """The answer, or None if there is none in that time.

        Raises:
            CourseError: it is an error. Over: the process has ended.
        """
        if not select.select([self.wire.connection], [], [], seconds)[0]:
            return None
        answer, _ = self.wire.receive()
        if "error" in answer:
            raise CourseError(answer["error"])
        return answer

    def ask(self, **question: Any) -> dict[str, Any]:
        """Put a question and wait for the answer."""
        self.wire.send(question, [])
        answer, _ = self.wire.receive()
        if "error" in answer:
            raise CourseError(answer["error"])
        return answer

    def end(self) -> None:
        self.wire.connection.close()
        self.handles.close()
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process, signal.SIGKILL)
        if self.started:
            self.started.wait()


@contextlib.contextmanager
def _sockets() -> Generator[tuple[list[socket.socket], list[socket.socket]]]:
    """Two pairs of sockets, ours and theirs; theirs are closed here in the end."""
    pairs = [socket.socketpair(), socket.socketpair()]
    theirs = [pair[1] for pair in pairs]
    try:
        yield [pair[0] for pair in pairs], theirs
    finally:
        for each in theirs:
            each.close()


def _how(status: int | None, limits: Limits, *, late: bool) -> str:
    """How a student's process ended, for a person."""
    if late:
        return f"no end after {limits.patience:g} seconds on the clock"
    if status is None:
        return "it took its room along"
    if status == -signal.SIGXCPU:
        return f"no end after {limits.seconds:g} seconds of computing: likely an endless loop"
    if status >= 0:
        return f"exit code {status}"
    known = {each.value: each.name for each in signal.Signals}
    return f"signal {known.get(-status, -status)}"
