"""Results that outlive the run: each in a line of a file, under a key of everything that it follows from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Generator
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from common.course.catalogue import ROOT, Problem, problems
from common.errors import CourseError
from common.files import content, text, write_atomically


class Journal:
    """The results in a folder.

    Args:
        options: what else they follow from: limits, sandbox.
    """

    def __init__(self, folder: Path, options: str) -> None:
        self.file = folder / "journal.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        self.secret = _secret(folder / "secret")
        self.options = options
        self.known: dict[str, dict[str, Any]] = {}
        for line in text(self.file).splitlines():
            with contextlib.suppress(
                ValueError, KeyError, TypeError
            ):  # the last one of a run that was killed
                entry = json.loads(line)
                self.known[entry["key"]] = entry["result"]

    def key(self, problem: Problem, source: str) -> str:
        """What a result depends on: the file, tests, harness, references up to this problem, versions, options."""
        parts = [problem.name, source, self.options, self.secret, harness(), *_course(problem)]
        return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()

    def add(self, results: dict[str, dict[str, Any]]) -> None:
        """Keep results, by their keys; they are on the disk when this returns."""
        self.known |= results
        lines = "".join(json.dumps({"key": k, "result": r}) + "\n" for k, r in results.items())
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n" * _is_cut_off(self.file) + lines)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """A block that no other run enters with the same folder.

    Raises:
        CourseError: another one is in it.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            says = f"another run is writing to {folder.parent}: wait for it, or give another --out"
            raise CourseError(says) from None
        yield


@cache
def harness() -> str:
    """A digest of this project's code and of what it runs on."""
    files = sorted((ROOT / "common").rglob("*.py"))
    texts = [content(f) for f in files]
    versions = [sys.version, metadata.version("torch"), metadata.version("numpy")]
    return hashlib.sha256(b"\0".join([*texts, *map(str.encode, versions)])).hexdigest()


@cache
def _course(problem: Problem) -> tuple[str, ...]:
    """The texts of the problem's tests, README and answers, and of the references that it may build on."""
    own = [*problem.tests, problem.readme_file, problem.reference, problem.mistakes]
    before = [p.reference for p in problems() if not p.is_interview and p.key < problem.key]
    return tuple(text(f) for f in [*own, *before])


def _is_cut_off(file: Path) -> bool:
    data = content(file)
    return bool(data) and not data.endswith(b"\n")


def _secret(file: Path) -> str:
    """What the inputs of all checks follow from, in this run and in those that go on with it."""
    if not (known := content(file).decode("ascii", "replace").strip()):
        write_atomically(file, secrets.token_hex(16))
        file.chmod(0o600)
        known = content(file).decode()
    return known
