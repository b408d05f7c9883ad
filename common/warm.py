"""The warm process: torch, pytest and the harness loaded once; every save is checked in a child of it.

A learner's endless loop, crash, os._exit or change of global state dies with its child. Requests come in
on stdin and answers go out on stdout, a JSON object a line.

    {"id": 1, "problem": "05-causal-masking", "limit": 10.0}        check it; ends a check under way
    {"id": 2, "problem": ..., "file": ..., "examples": true}         only the README's examples
    {"ready": true}                                                  loaded, or loaded again
    {"id": 1, "lines": [...], "passes": false, "loads": true, "outcomes": [[name, status, parts], ...]}
    {"id": 1, "ended": "timeout" | "crash" | "broken", "where": "..."}

Where the platform cannot fork safely the process answers one request itself and ends (`--once`); whoever
uses it keeps a spare one ready.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import selectors
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from common import catalogue, light_torch
from common.catalogue import Problem, find, shown
from common.collecting import checks_of
from common.diagnosis import prepare
from common.errors import CourseError
from common.examples import try_examples
from common.loading import LoadFailure, load
from common.verdict import judge

CAN_FORK = (
    sys.platform == "linux"
)  # elsewhere system libraries that torch uses do not survive a fork


def warm_up(problem: Problem) -> None:
    """Do once here what would otherwise be done first in every child.

    Only with one thread: a child of a process that has computed with two hangs for ever as soon as it
    uses two itself, as the pool's threads do not come along but its locks do.
    """
    reference = load(problem.reference)
    for check in checks_of(problem):
        check.run(reference)


def _first_operations() -> None:
    torch.set_num_threads(1)
    light_torch.install()
    weight = torch.nn.Parameter(torch.randn(8, 8))
    (torch.randn(8, 8) @ weight).softmax(-1).sum().backward()
    torch.optim.Adam([weight]).step()
    gc.collect()
    gc.freeze()  # objects made so far are never visited again: the children share their pages


def verdict_answer(problem: Problem, path: Path) -> dict[str, Any]:
    """The verdict on a file, as it travels."""
    verdict = judge(problem, path)
    return {
        "lines": verdict.lines(),
        "passes": verdict.passes,
        "loads": not verdict.failure,
        "outcomes": [[o.name, o.status.value, list(o.parts)] for o in verdict.outcomes],
    }


def examples_answer(problem: Problem, path: Path) -> dict[str, Any]:
    """What the README's examples give on a file, as it travels."""
    try:
        module = load(path)
    except (LoadFailure, NotImplementedError) as failure:
        return {"loads": False, "lines": str(failure).splitlines()}
    tried = try_examples(problem, module)
    return {"loads": True, "examples": [[t.caption, t.passes, list(t.lines)] for t in tried]}


def work(request: dict[str, Any], out: IO[bytes], trace: Path) -> None:
    """Check a file in this process and write the answer. On a time-out the process ends by itself.

    Args:
        trace: gets the stack of the learner's code when time is up.
    """
    with open(os.devnull, "r+b") as null:
        for stream in (0, 1, 2):
            os.dup2(null.fileno(), stream)
    with trace.open("w") as file:
        faulthandler.dump_traceback_later(request["limit"], exit=True, file=file)
        problem = find(request["problem"])
        path = Path(request.get("file") or problem.solution)
        look = examples_answer if request.get("examples") else verdict_answer
        result = {"id": request["id"], **look(problem, path)}
        faulthandler.cancel_dump_traceback_later()
    out.write(json.dumps(result).encode() + b"\n")
    out.flush()


def where_in(trace: str, path: Path) -> str:
    """The learner's innermost line in a stack that faulthandler wrote."""
    for line in trace.splitlines():
        if f'"{path}"' in line:
            number, _, name = line.partition(", line ")[2].partition(" in ")
            return f"{shown(path)}, line {number}, in {name}"
    return ""


class Server:
    """Forks a child for each request and passes its answer on."""

    def __init__(self, out: IO[bytes]) -> None:
        self.out = out
        self.child = 0  # process id of the check under way
        self.pipe = -1
        self.request: dict[str, Any] = {}
        self.received = b""
        self.deadline = 0.0
        self.idle_work: Iterator[None] = iter(())  # what makes the next diagnosis quick
        self.trace = Path(tempfile.mkstemp(prefix="gpt2-trace-")[1])

    def say(self, message: dict[str, Any]) -> None:
        self.out.write(json.dumps(message).encode() + b"\n")
        self.out.flush()

    def start(self, request: dict[str, Any]) -> None:
        """Begin a check; one that is still under way is ended unheard."""
        self.stop()
        problem = find(request["problem"])
        checks_of(problem)  # collected here, so that later children have it too
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                os.setsid()  # whatever it starts can be ended with it
                os.close(reader)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                with os.fdopen(writer, "wb") as out:
                    work(request, out, self.trace)
            finally:
                os._exit(0)
        os.close(writer)
        self.child, self.pipe, self.request, self.received = child, reader, request, b""
        self.deadline = time.monotonic() + request["limit"] + 1.0

    def stop(self) -> int:
        """End the child and all it started; its exit status."""
        if not self.child:
            return 0
        try:
            os.killpg(self.child, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(self.child, signal.SIGKILL)
        status = os.waitpid(self.child, 0)[1]
        os.close(self.pipe)
        self.child, self.pipe = 0, -1
        return status

    def hear(self) -> bool:
        """Read from the child; whether it is done."""
        data = os.read(self.pipe, 65536)
        self.received += data
        if self.received.endswith(b"\n"):
            self.out.write(self.received)
            self.out.flush()
            self.stop()
            return True
        if data:
            return False
        pid, status = self.child, os.waitpid(self.child, 0)[1]
        os.close(self.pipe)
        self.child, self.pipe = 0, -1
        self._explain_end(pid, status)
        return True

    def _explain_end(self, _: int, status: int) -> None:
        stack = self.trace.read_text(errors="replace")
        problem = find(self.request["problem"])
        path = Path(self.request.get("file") or problem.solution)
        if "Timeout" in stack:
            self.say({"id": self.request["id"], "ended": "timeout", "where": where_in(stack, path)})
            return
        code = os.waitstatus_to_exitcode(status)
        how = f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
        self.say({"id": self.request["id"], "ended": "crash", "where": how})

    def serve(self) -> None:
        """Answer requests until stdin closes."""
        pending = b""
        os.set_blocking(0, False)
        try:
            while True:
                with selectors.DefaultSelector() as ready:
                    ready.register(0, selectors.EVENT_READ)
                    if self.child:
                        ready.register(self.pipe, selectors.EVENT_READ)
                    left = max(self.deadline - time.monotonic(), 0) if self.child else None
                    busy = not self.child and next(self.idle_work, self) is None
                    events = [key.fd for key, _ in ready.select(0 if busy else left)]
                if self.child and self.pipe in events:
                    self.hear()
                elif (
                    self.child and not events
                ):  # stuck where even the timer of the child does not run
                    self.stop()
                    self.say({"id": self.request["id"], "ended": "timeout", "where": ""})
                if 0 in events:
                    data = os.read(0, 65536)
                    if not data:
                        return
                    *lines, pending = (pending + data).split(b"\n")
                    for line in lines:
                        self._take(json.loads(line))
        finally:
            self.stop()
            self.trace.unlink(missing_ok=True)

    def _take(self, request: dict[str, Any]) -> None:
        try:
            if request.get("warm"):
                problem = find(request["warm"])
                warm_up(problem)
                self.idle_work = prepare(problem, checks_of(problem))
            else:
                self.start(request)
        except CourseError as error:  # a problem whose tests cannot be collected
            if "id" in request:
                self.say({"id": request["id"], "ended": "broken", "where": str(error)})


def main() -> None:
    """Serve until stdin closes; with --once, answer a single request in this very process."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that prints may disturb the answers
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this process
    _first_operations()
    catalogue.problems()
    out.write(b'{"ready": true}\n')
    out.flush()
    if "--once" not in sys.argv:
        Server(out).serve()
        return
    request = json.loads(sys.stdin.readline() or "null")
    while request and request.get("warm"):
        warm_up(find(request["warm"]))
        request = json.loads(sys.stdin.readline() or "null")
    if request:
        trace = Path(request["trace"])
        work(request, out, trace)


if __name__ == "__main__":
    main()
