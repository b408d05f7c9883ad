"""The process that judges: torch, pytest and the harness loaded once, each file judged in a child of it.

A learner's endless loop, crash, os._exit or change of global state dies with the child. Messages come in on
stdin and answers go out on stdout, a word and a JSON value a line:

    warm "05-causal-masking"           load what its checks need, and run its known mistakes ahead of need
    judge ["{request}", "/tmp/trace"]  judge a file; the learner's stack goes to the trace when time is up
    ready null                         loaded
    child 4711                         the process that has begun to judge
    checked null                       the learner's code is through; what takes time now is the diagnosis
    verdict "{...}"                    its answer
    exit 0                             it has ended, with that code

Where the platform cannot fork safely (--once) the process judges a single file itself and ends; whoever uses
it keeps a spare one ready.
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import json
import os
import queue
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from common import internals
from common.course.catalogue import Problem, find, problems
from common.errors import CourseError
from common.judging.collecting import checks_of
from common.judging.diagnosis import prepare
from common.judging.loading import load
from common.judging.records import Ended, Request, Verdict
from common.judging.runner import outcomes_of, run


class Worker:
    """Takes messages and idles usefully in between."""

    def __init__(self, out: IO[bytes], *, once: bool) -> None:
        self.out, self.once = out, once
        self.messages: queue.SimpleQueue[list[Any] | None] = queue.SimpleQueue()
        self.idle: Iterator[None] = iter(())  # what makes the next diagnosis quick
        self.child = 0  # the process that is judging

    def say(self, word: str, value: Any = None) -> None:
        self.out.write(f"{word} {json.dumps(value)}\n".encode())
        self.out.flush()

    def serve(self) -> None:
        """Answer until stdin closes; with `once`, until one file is judged."""
        threading.Thread(target=self._read, daemon=True).start()
        self.say("ready")
        while (message := self._next()) is not None:
            word, value = message
            if word == "warm":
                self._warm(find(value))
            else:
                self._judge(Request.from_json(value[0]), Path(value[1]))
                if self.once:
                    return

    def _read(self) -> None:
        for line in sys.stdin.buffer:
            word, _, value = line.partition(b" ")
            self.messages.put([word.decode(), json.loads(value)])
        self.messages.put(None)
        self._end_child()  # nobody hears its answer any more

    def _end_child(self) -> None:
        """End the child that judges, and what it has started or left behind."""
        if self.child:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.child, signal.SIGKILL)

    def _next(self) -> list[Any] | None:
        """The next message; while there is none, a step of the idle work."""
        while True:
            try:
                return self.messages.get_nowait()
            except queue.Empty:
                if next(self.idle, self) is self:
                    return self.messages.get()

    def _warm(self, problem: Problem) -> None:
        """Do once here what would otherwise be done first in every child.

        Only with one thread: a child of a process that has computed with two hangs for ever as soon as it
        uses two itself, as the pool's threads do not come along but its locks do.
        """
        with contextlib.suppress(CourseError):  # the verdict says it
            outcomes_of(problem, load(problem.reference))
            self.idle = prepare(problem, checks_of(problem))

    def _judge(self, request: Request, trace: Path) -> None:
        if self.once:
            self.say("child", os.getpid())
            self._work(request, trace)
            return
        if request.picture is None:
            with contextlib.suppress(CourseError):
                checks_of(find(request.problem))  # here, so that later children have it too
        gc.freeze()  # what idling and collecting made, too: the child's garbage collector leaves it alone
        child = os.fork()
        if child == 0:
            try:
                os.setsid()  # whatever it starts can be ended with it
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                self.say("child", os.getpid())
                self._work(request, trace)
            finally:
                os._exit(0)
        self.child = child
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        self._end_child()
        self.child = 0
        self.say("exit", code)

    def _work(self, request: Request, trace: Path) -> None:
        with open(os.devnull, "r+b") as null:
            for stream in (0, 1, 2):
                os.dup2(null.fileno(), stream)
        with trace.open("w", encoding="utf-8") as file:
            faulthandler.dump_traceback_later(request.limit, exit=True, file=file)
            try:
                verdict = run(request, on_checked=self._checked)
            except CourseError as error:
                verdict = Verdict(request, ended=Ended.BROKEN, where=str(error))
            faulthandler.cancel_dump_traceback_later()
        self.say("verdict", verdict.to_json())

    def _checked(self, verdict: Verdict) -> None:
        faulthandler.cancel_dump_traceback_later()
        self.say("checked", verdict.to_json())


def _first_operations() -> None:
    torch.set_num_threads(1)
    internals.put_off_the_compiler()
    weight = torch.nn.Parameter(torch.randn(8, 8))
    (torch.randn(8, 8) @ weight).softmax(-1).sum().backward()
    torch.optim.Adam([weight]).step()
    gc.collect()
    gc.freeze()  # objects made so far are never visited again: the children share their pages


def main() -> None:
    """Serve until stdin closes; with --once, judge a single file in this very process."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that prints may disturb the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this process
    _first_operations()
    problems()
    Worker(out, once="--once" in sys.argv).serve()


if __name__ == "__main__":
    main()
