"""A `gpt2 web` of its own for a test, and what it says."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

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

    def client(self) -> httpx.Client:
        """A browser that has followed the address."""
        client = httpx.Client(base_url=self.base, timeout=PATIENCE, follow_redirects=True)
        assert client.get(self.address).status_code == 200
        return client

    def post(self, client: httpx.Client, path: str, **what: Any) -> httpx.Response:
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

    def __init__(self, client: httpx.Client, path: str) -> None:
        self.now: dict[str, Any] = {"put": {}}
        self.news: list[dict[str, Any]] = []
        self.opened = client.stream("GET", path)
        response = self.opened.__enter__()
        assert response.headers["content-type"].startswith("text/event-stream"), response.read()
        self.changes = self._changes(response)

    def _changes(self, response: httpx.Response) -> Iterator[dict[str, Any]]:
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
