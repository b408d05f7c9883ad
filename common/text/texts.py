"""Texts to train on: the story that comes with the course, one that is fetched once, and anyone's file."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.errors import CourseError, UsageError
from common.files import write_atomically

_CHUNK = 1 << 14
_TIMEOUT = 20.0  # seconds without a byte


@dataclass(frozen=True)
class NamedText:
    """A text known by name: part of the course (no url), or fetched once and checked."""

    title: str
    file: str
    sha256: str
    url: str = ""


TEXTS = {
    "the-tide-ledger": NamedText(
        title="The Tide Ledger, a short story written for this course",
        file="the-tide-ledger.txt",
        sha256="0fd38f19488ae935b6b4e65b4a7e07ec6d2475586fe52d82f12944f100141965",
    ),
    "the-verdict": NamedText(
        title="The Verdict, by Edith Wharton (1908, public domain)",
        file="the-verdict.txt",
        sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
        url="https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/main/ch02/01_main-chapter-code/the-verdict.txt",
    ),
}
DEFAULT = "the-tide-ledger"
EMBEDDED = Path(__file__).parent


def cache_folder() -> Path:
    """Where fetched texts are kept: $GPT2_CACHE, else write-gpt2 in the user's cache folder."""
    if own := os.environ.get("GPT2_CACHE"):
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "write-gpt2"


def read_text(name_or_file: str = DEFAULT, *, progress: bool = True) -> str:
    """The text of that name, or in that file.

    Raises:
        UsageError: neither a name nor a file. CourseError: it is no UTF-8, is empty, or cannot be fetched.
    """
    if known := TEXTS.get(name_or_file):
        return _decoded(_named(known, progress=progress), name_or_file)
    require_text(name_or_file)
    path = Path(name_or_file).expanduser()
    try:
        return _decoded(path.read_bytes(), name_or_file)
    except OSError as error:
        raise CourseError(f"{path} cannot be read: {error.strerror}") from None


def require_text(name_or_file: str) -> None:
    """Raise UsageError where there is no text of that name and no such file."""
    if name_or_file not in TEXTS and not Path(name_or_file).expanduser().is_file():
        raise UsageError(
            f"there is no text {name_or_file!r}: give a file, or one of {', '.join(TEXTS)}"
        )


def _decoded(data: bytes, name: str) -> str:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CourseError(
            f"{name} is not UTF-8: byte {error.start:,} of {len(data):,} is 0x{data[error.start]:02x}; "
            "save the file as UTF-8"
        ) from None
    if not text.strip():
        raise CourseError(f"{name} holds no text ({len(data):,} bytes)")
    return text.replace("\r\n", "\n")


def _named(text: NamedText, *, progress: bool) -> bytes:
    if not text.url:
        return (EMBEDDED / text.file).read_bytes()
    kept = cache_folder() / text.file
    if kept.is_file() and _digest(data := kept.read_bytes()) == text.sha256:
        return data
    try:
        data = fetch(text.url, _bar(text.file) if progress else lambda done, total: None)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        raise CourseError(
            f"{text.file} could not be fetched ({reason}); fetch {text.url} by hand and put it at {kept}"
        ) from None
    if _digest(data) != text.sha256:
        raise CourseError(
            f"what came from {text.url} is not {text.file} as it should be: SHA-256 {_digest(data)[:16]}..., "
            f"not {text.sha256[:16]}...; fetch it by hand and put it at {kept}"
        )
    with contextlib.suppress(OSError):  # a cache that cannot be written is no reason to fail
        write_atomically(kept, data)
    return data


def fetch(url: str, on_progress: Callable[[int, int], None]) -> bytes:
    """The bytes behind a URL, in pieces, so that Ctrl-C works and progress can be shown.

    Args:
        on_progress: gets the bytes so far and the total (0 if unknown).
    """
    parts, done = [], 0
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
        total = int(response.headers.get("Content-Length") or 0)
        while part := response.read(_CHUNK):
            parts.append(part)
            done += len(part)
            on_progress(done, total)
    if total and done != total:
        raise OSError(f"the connection ended after {done:,} of {total:,} bytes")
    return b"".join(parts)


def _bar(name: str) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            of = f" of {total:,}" if total else ""
            print(f"\rfetching {name}: {done:,}{of} bytes", end="", file=sys.stderr)
            if total and done >= total:
                print(file=sys.stderr)

    return show


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
