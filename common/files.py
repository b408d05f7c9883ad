"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Generator
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write so that a reader, or a crash at any moment, finds the old content or the new one, whole.

    The file keeps its permissions; a link stays a link, and what it points to is written.

    Raises:
        OSError: the folder cannot be written, the disk is full; then the old file is as it was.
    """
    with being_replaced(path) as aside, aside.open("xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def being_replaced(path: Path) -> Generator[Path]:
    """A name beside `path` to write to; at the end of the block the file there takes its place."""
    path = path.resolve()
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(path, aside)
        os.replace(aside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            aside.unlink()
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def text(path: Path) -> str:
    """What the file holds as text, with a mark for bytes that are none."""
    return content(path).decode("utf-8", errors="replace")


def content(path: Path) -> bytes:
    """What the file holds now; nothing where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
