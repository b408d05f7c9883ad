"""One lane of a class run: a sandboxed server that runs files, and a trusted examiner that judges data."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.catalogue import ROOT, Problem
from common.errors import CourseError
from common.grading import sandbox

COMMAND = [sys.executable, "-m"]
START = 300.0  # seconds for loading torch and all checks, on a machine with much else to do


class Lost(Exception):
    """The process at the other end is gone or does not answer."""


class Process:
    """A child that speaks JSON lines."""

    def __init__(self, command: Sequence[str]) -> None:
        environment = {
            "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "0", "HOME": "/nonexistent",
            "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1",
        }  # fmt: skip
        self.buffer = b""
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            cwd=ROOT, env=environment, start_new_session=True,
        )  # fmt: skip

    def ask(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a line and wait for one.

        Raises:
            Lost: no answer.
        """
        assert self.process.stdin
        assert self.process.stdout
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise Lost from None
        end = time.monotonic() + seconds
        while b"\n" not in self.buffer:
            ready = select.select([self.process.stdout], [], [], max(end - time.monotonic(), 0))[0]
            data = os.read(self.process.stdout.fileno(), 1 << 20) if ready else b""
            if not data:
                raise Lost
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        return json.loads(line)

    def close(self) -> None:
        """End it, and with it all that it started."""
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


class Examiner:
    """The trusted side, shared by all lanes: it knows what every known mistake gives, once."""

    def __init__(self) -> None:
        self.process: Process | None = None
        self.lock = threading.Lock()

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """Its answer; it is started, or started again, where it must be."""
        with self.lock:
            for _ in range(2):
                try:
                    self.process = self.process or Process([*COMMAND, "common.grading.examiner"])
                    answer = self.process.ask(message, START)
                except Lost:
                    self.close()
                    continue
                if "broken" in answer:
                    raise CourseError(answer["broken"])
                return answer
        raise CourseError("the examiner process ends without an answer")

    def close(self) -> None:
        if self.process:
            self.process.close()
        self.process = None


class Worker:
    """One lane; starts its server again where a submission has ended it."""

    def __init__(
        self,
        problems: Sequence[Problem],
        limits: sandbox.Limits,
        bubblewrap: str,
        folder: Path,
        examiner: Examiner,
    ) -> None:
        self.problems, self.limits, self.folder = problems, limits, folder
        self.bubblewrap, self.examiner = bubblewrap, examiner
        self.server: Process | None = None
        self.serial = 0

    def _start(self) -> Process:
        command = [*COMMAND, "common.grading.server"]
        copies = Path(tempfile.mkdtemp(dir=self.folder, prefix="view-"))
        try:
            if self.bubblewrap:
                for name in ("problems", "solutions"):
                    ignored = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(ROOT / name, copies / name, ignore=ignored)
                command = sandbox.sandboxed(self.bubblewrap, command, copies)
            server = Process(command)
            setup = {"problems": [p.name for p in self.problems], "limits": asdict(self.limits)}
            try:
                answer = server.ask({**setup, "empty": bool(self.bubblewrap)}, START)
            except Lost:
                server.close()
                raise CourseError("the process that runs the checks does not start") from None
            if "broken" in answer:
                server.close()
                raise CourseError(answer["broken"])
            return server
        finally:
            shutil.rmtree(copies, ignore_errors=True)  # the server has read and emptied them

    def run(self, problem: Problem, source: str) -> dict[str, Any]:
        """What one file gave: outcomes with evidence, the report on it, and what it tried."""
        answer: dict[str, Any] = {}
        for _ in range(2):
            self.server = self.server or self._start()
            self.serial += 1
            request = {
                "id": self.serial,
                "problem": problem.name,
                "name": problem.name,
                "source": source,
            }
            try:
                answer = self.server.ask(request, self.limits.clock + 30)
            except Lost:
                answer = {"lost": True}
            if answer.get("id") == self.serial and not answer.get("lost"):
                break
            self.server.close()
            self.server = None
            answer = {}
        answer = answer or _KILLER
        failure = answer["failure"]
        if not failure and not answer["outcomes"] and answer["ended"]:
            failure = _story(answer)
        asked = {
            "problem": problem.name,
            "whose": f"{problem.name} (handed in)",
            "failure": failure,
        }
        verdict = self.examiner.ask({**asked, "outcomes": answer["outcomes"]})
        if answer["ended"] and answer["outcomes"]:
            verdict["lines"].insert(1, _story(answer))
        return {**answer, **verdict}

    def close(self) -> None:
        """End the server and whatever it runs."""
        if self.server:
            self.server.close()
        self.server = None


_KILLER: dict[str, Any] = {
    "failure": "",
    "layers": [],
    "tried": [],
    "outcomes": [],
    "where": "",
    "tampered": ["the grading process was ended while it ran, twice"],
    "ended": "it ended the grading process",
}


def _story(answer: dict[str, Any]) -> str:
    where = f" at {answer['where']}" if answer["where"] else ""
    when = "after the checks below" if answer["outcomes"] else "before the first check was done"
    return f"The run was ended {when}: {answer['ended']}{where}."
