"""The other end of the warm process: starts it, asks it, starts it again when it is gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common.catalogue import ROOT, Problem

CAN_FORK = sys.platform == "linux"  # the same question as in common.warm, without importing torch


class Warm:
    """A process with torch loaded that checks files. `fileno()` is readable when an answer is there."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.spare: subprocess.Popen[bytes] | None = None  # where nothing can be forked
        self.buffer = b""
        self.serial = 0
        self.start()

    def start(self) -> None:
        """Start the process, or start it anew after code that it holds has changed."""
        self.close()
        self.process = self._spawn()
        if not CAN_FORK:
            self.spare = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "common.warm", *([] if CAN_FORK else ["--once"])]
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            env=environment,
        )

    def fileno(self) -> int:
        assert self.process
        assert self.process.stdout
        return self.process.stdout.fileno()

    def prepare(self, problem: Problem) -> None:
        """Let it load what the problem's checks need, ahead of the first save."""
        for process in filter(None, (self.process, self.spare)):
            self._send(process, {"warm": problem.name})

    def check(
        self, problem: Problem, limit: float, file: Path | None = None, *, examples: bool = False
    ) -> int:
        """Ask for a verdict on the learner's file, or on another one; the number its answer will carry.

        Args:
            examples: run only the examples of the README.
        """
        assert self.process
        self.serial += 1
        if not CAN_FORK and self.serial > 1:
            self.process.kill()
            self.process, self.spare = self.spare, self._spawn()
            self.buffer = b""
        trace = tempfile.gettempdir() + f"/gpt2-trace-{os.getpid()}"
        request: dict[str, Any] = {"id": self.serial, "problem": problem.name, "limit": limit}
        request |= {"trace": trace, "examples": examples} | ({"file": str(file)} if file else {})
        assert self.process
        self._send(self.process, request)
        return self.serial

    def read(self) -> list[dict[str, Any]]:
        """The answers that have come in.

        Raises:
            EOFError: the process is gone.
        """
        data = os.read(self.fileno(), 1 << 20)
        if not data:
            raise EOFError
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """End the process and whatever it is checking."""
        for process in filter(None, (self.process, self.spare)):
            if process.stdin:
                process.stdin.close()
            try:
                process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        self.process = self.spare = None
        self.buffer = b""

    @staticmethod
    def _send(process: subprocess.Popen[bytes], message: dict[str, Any]) -> None:
        assert process.stdin
        try:
            process.stdin.write(json.dumps(message).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            pass  # it is gone; read() says so
