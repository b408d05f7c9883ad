"""A checkout of its own for tests that write."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from common.course.catalogue import ROOT, problems

# Begun in the background by a shell, pytest ignores Ctrl-C, and so would every program that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def sandbox() -> bool:
    """Whether students' processes run in a sandbox here; the test is skipped where none can run at all."""
    if sys.platform != "linux":
        pytest.skip("grading needs Linux")
    from common.errors import CourseError
    from common.grading.rooms import Agents, why_no_sandbox

    if not why_no_sandbox():
        return True
    try:
        Agents(sandbox=False).close()
    except CourseError as error:
        pytest.skip(str(error))
    return False


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh copy of the repository in a folder with a space in its name; every problem untouched."""
    copy = tmp_path / "my checkout"
    ignore = shutil.ignore_patterns("__pycache__", ".venv", ".gpt2")
    for name in ("common", "problems", "solutions", "hunts"):
        shutil.copytree(ROOT / name, copy / name, ignore=ignore)
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, copy / name)
    for problem in problems():
        file = copy / "problems" / problem.name / "solution.py"
        file.write_text(problem.skeleton, encoding="utf-8")
    return copy


@pytest.fixture
def gpt2(checkout: Path) -> Run:
    """Runs the command in that checkout."""

    def run(*arguments: str, cwd: Path = checkout, **options) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "NO_COLOR": "1", "COLUMNS": "80"}
        done = subprocess.run(
            [sys.executable, *options.pop("python", []), "-m", "common.cli", *arguments],
            cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False,
            stdin=subprocess.DEVNULL, **options,
        )  # fmt: skip
        assert "Traceback" not in done.stderr + done.stdout, done.stderr + done.stdout
        return done

    return run


class Screen:
    """A program in a pseudo-terminal, and what stands on its screen now."""

    def __init__(self, checkout: Path, *arguments: str, columns: int = 80, rows: int = 24) -> None:
        pty, self.termios = pytest.importorskip("pty"), pytest.importorskip("termios")
        import pyte

        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.master, self.slave = pty.openpty()
        self.termios.tcsetwinsize(self.slave, (rows, columns))
        self.before = self.settings()
        environment = {**os.environ, "PYTHONPATH": str(checkout), "TERM": "xterm", "NO_COLOR": "1"}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "common.cli", *arguments],
            cwd=checkout, env=environment, stdin=self.slave, stdout=self.slave, stderr=self.slave,
            start_new_session=True,
        )  # fmt: skip

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        self.termios.tcsetwinsize(self.slave, (rows, columns))
        self.process.send_signal(signal.SIGWINCH)

    def shows(self, wanted: str, seconds: float = 120, without: str | None = None) -> str:
        """Wait until the screen holds one text and not the other, however it is broken into lines; returns it."""
        end = time.monotonic() + seconds
        while True:
            text = " ".join(" ".join(self.lines).split())
            if wanted in text and (without is None or without not in text):
                return "\n".join(self.lines)
            if time.monotonic() > end or not self._read():
                text = "\n".join(self.lines)
                raise AssertionError(f"{wanted!r} did not appear; the screen was:\n{text}")

    def _read(self) -> bool:
        """Take in what was written meanwhile; whether more can come."""
        if select.select([self.master], [], [], 0.1)[0]:
            try:
                self.stream.feed(os.read(self.master, 65536))
            except OSError:
                return False
        return True

    def settings(self) -> list[Any]:
        """How the terminal is set: to be the same afterwards."""
        return self.termios.tcgetattr(self.slave)

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def ends(self, seconds: float = 60) -> int | None:
        """Wait for the program to end, and go on reading: a full terminal would hold it up."""
        end = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < end:
            self._read()
        return self.process.poll()

    def close(self) -> None:
        """End the program, with all it started."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


@pytest.fixture
def working_file(checkout: Path) -> Callable[[str], Path]:
    """Waits for the file of the only attempt at a problem, or hunt of a level, and gives it."""

    def found(name: str) -> Path:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            if files := list((checkout / "interviews" / name).glob("*/solution.py")):
                return files[0]
            time.sleep(0.05)
        raise AssertionError(f"nothing has begun at {name}")

    return found


@pytest.fixture
def screen(checkout: Path) -> Iterator[Callable[..., Screen]]:
    opened: list[Screen] = []

    def start(*arguments: str, **size: int) -> Screen:
        opened.append(Screen(checkout, *arguments, **size))
        return opened[-1]

    yield start
    for each in opened:
        each.close()


# --- gpt2 web

PATIENCE = 120.0  # seconds: other tests may share the machine


class Server:
    """The command in a checkout, with an address that opens it."""

    def __init__(self, checkout: Path, *arguments: str) -> None:
        self.checkout = checkout
        environment = {**os.environ, "PYTHONPATH": str(checkout), "NO_COLOR": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "common.cli", "web", "--no-open", *arguments],
            cwd=checkout, env=environment, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert self.process.stdout
        self.said: list[str] = []
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(r"http://\S+", line):
                break
        else:
            raise AssertionError("".join(self.said))
        self.address = found[0]
        self.base = found[0].partition("/problem")[0].partition("/?")[0]
        self.reader = threading.Thread(target=self.said.extend, args=[self.process.stdout])
        self.reader.start()

    def client(self) -> Any:
        """A browser that has followed the address."""
        import httpx

        client = httpx.Client(base_url=self.base, timeout=PATIENCE, follow_redirects=True)
        assert client.get(self.address).status_code == 200
        return client

    def post(self, client: Any, path: str, **what: Any) -> Any:
        """What a button sends."""
        return client.post(path, json=what, headers={"Origin": self.base})

    def end(self) -> int:
        """Ctrl-C; what it ends with."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def close(self) -> None:
        """End it, whatever it is doing."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)


class Stream:
    """What a page hears, gathered: the HTML of each place, and the plain values."""

    def __init__(self, client: Any, path: str) -> None:
        self.now: dict[str, Any] = {"put": {}}
        self.news: list[dict[str, Any]] = []
        self.opened = client.stream("GET", path)
        response = self.opened.__enter__()
        assert response.headers["content-type"].startswith("text/event-stream"), response.read()
        self.changes = self._changes(response)

    def _changes(self, response: Any) -> Iterator[dict[str, Any]]:
        for line in response.iter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))
            elif line.startswith(":"):  # nothing new
                yield {}

    def until(self, text: str, place: str = "verdict") -> str:
        """Listen until a place holds the text; its HTML."""
        end = time.monotonic() + PATIENCE
        while text not in self.now["put"].get(place, ""):
            assert time.monotonic() < end, f"{text!r} did not come; {self.now}"
            change = next(self.changes)
            self.news.append(change)
            self.now["put"] |= change.pop("put", {})
            self.now |= change
        return self.now["put"][place]

    def close(self) -> None:
        """The page is closed."""
        self.opened.__exit__(None, None, None)


@pytest.fixture
def serve(checkout: Path) -> Iterator[Callable[..., Server]]:
    """Starts `gpt2 web`, by default on problem 05."""
    started: list[Server] = []

    def start(*arguments: str) -> Server:
        started.append(Server(checkout, *(arguments or ("5", "--port", "0", "--limit", "5"))))
        return started[-1]

    yield start
    for each in started:
        each.close()


@pytest.fixture
def listen() -> Callable[[Any, str], Stream]:
    """Opens the stream that a page listens to."""
    return Stream
