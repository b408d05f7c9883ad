"""One problem, ready to be forked from: its checks collected and run once, the harness hidden."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import secrets
import socket
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from common.catalogue import Problem
from common.checks import Check
from common.collecting import checks_of
from common.grading import child, hiding, sandbox
from common.grading.watched import Watched, end_all, remove
from common.grading.watching import guarded
from common.loading import load


class Zygote:
    """One problem, ready to be forked from."""

    def __init__(self, problem: Problem, limits: sandbox.Limits, link: socket.socket) -> None:
        self.problem, self.limits, self.link = problem, limits, link
        self.checks: tuple[Check, ...] = checks_of(problem)
        reference = load(problem.reference)
        for check in self.checks:  # what is done first in every child is done here, once
            check.run(reference)
        self.names = [c.name for c in self.checks]
        self.tampered: list[str] = []
        self.asked: list[str] = []
        self.lower = sandbox.can_lower(sandbox.libraries())
        hiding.remember_lines(self.checks)
        spaces = hiding.harness_spaces(self.checks)
        hiding.hide(problem, self.checks, spaces, self.asked.append)
        del reference
        gc.collect()
        self.watch = guarded(spaces, self.tampered.append)
        gc.freeze()  # not visited again, so that children share these pages; and not listed by gc

    def serve(self) -> NoReturn:
        """Answer the base until it is gone."""
        stream = self.link.makefile("rwb")
        while line := stream.readline():
            request = json.loads(line)
            stream.write(json.dumps({"id": request["id"], **self.run(request)}).encode() + b"\n")
            stream.flush()
        os._exit(0)

    def run(self, request: dict[str, Any]) -> dict[str, Any]:
        """One student's file in a child of its own."""
        workplace = Path(tempfile.mkdtemp(prefix="work-"))
        key = secrets.token_bytes(32)
        reader, writer = os.pipe()
        trace, trace_in = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._child(request, workplace, key, writer, trace_in)
        os.close(writer)
        os.close(trace_in)
        os.set_blocking(trace, False)
        watched = Watched(pid, reader, workplace, self.limits)
        try:
            ended = watched.wait()
            stack = b""
            with contextlib.suppress(BlockingIOError):
                stack = os.read(trace, 1 << 16)
        finally:
            end_all(pid)
            os.close(reader)
            os.close(trace)
            remove(workplace)
        answer = self._read(watched.received, key)
        answer["ended"] = (
            "" if answer.pop("complete") else (ended or "it ended before its checks did")
        )
        answer["where"] = _where(stack.decode("utf-8", "replace")) if answer["ended"] else ""
        return answer

    def _child(
        self, request: dict[str, Any], workplace: Path, key: bytes, writer: int, trace: int
    ) -> NoReturn:
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1, 2):
                os.dup2(null, stream)
            out, err = _elsewhere(writer), _elsewhere(trace)
            low, high = sorted((out, err))
            for start, end in ((3, low), (low + 1, high), (high + 1, 4096)):
                os.closerange(start, end)
            send = child.signer(out, key)
            del key, writer, trace
            gc.freeze()
            setting = (self.limits, workplace, err, self.lower)
            child.work(request, self.checks, self.watch, self.tampered, self.asked, send, setting)
        finally:
            os._exit(9)

    def _read(self, received: bytes, key: bytes) -> dict[str, Any]:
        """What the child has proven to have said, in the order in which a child says it."""
        answer: dict[str, Any] = {"failure": "", "loaded": False, "printed": "", "layers": []}
        answer |= {"tried": [], "tampered": [], "complete": False}
        outcomes: list[dict[str, Any]] = []
        for number, line in enumerate(received.splitlines(keepends=True), 1):
            try:
                message = child.verified(line, key, number) if line.endswith(b"\n") else None
            except (ValueError, TypeError, RecursionError):
                message = None
            if not isinstance(message, dict):
                if line.endswith(b"\n"):
                    answer["tampered"].append(
                        "something else was written to the channel of results"
                    )
                break
            if "tried" in message:
                answer["tried"].append(str(message["tried"])[:200])
            elif "tampered" in message:
                answer["tampered"].append(str(message["tampered"])[:200])
            elif "outcome" in message:
                outcome = message["outcome"]
                at = len(outcomes)
                if at >= len(self.names) or outcome.get("name") != self.names[at]:
                    answer["tampered"].append("a check was reported that was not its turn")
                    break
                outcomes.append(outcome)
            elif "end" in message:
                answer["complete"] = not answer["loaded"] or len(outcomes) == len(self.names)
            else:
                answer |= {
                    k: message[k]
                    for k in ("layers", "loaded", "failure", "printed")
                    if k in message
                }
        answer["outcomes"] = outcomes
        answer["expected"] = self.names
        return answer


def _elsewhere(descriptor: int) -> int:
    """The same pipe under a number that nobody can know."""
    while True:
        number = random.SystemRandom().randrange(64, 120)
        try:
            os.fstat(number)
        except OSError:
            return os.dup2(descriptor, number, inheritable=False)


def _where(stack: str) -> str:
    """The student's innermost line in a stack that faulthandler wrote."""
    for line in stack.splitlines():
        if 'File "<solution_' in line:
            number, _, name = line.partition(", line ")[2].partition(" in ")
            return f"line {number[:9]}, in {name[:60]}"
    return ""
