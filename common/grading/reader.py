"""Reads what one student handed in, in a process of its own with limits: an archive may be made to harm.

    python -I reader.py PATH PATTERNS

PATTERNS is JSON: by the problem's name a list of regular expressions for paths, the plainest first. Prints
JSON: {"files": {problem: text}, "refused": {problem: why}, "notes": [...], "newest": seconds or null}. It
executes, follows and unpacks nothing, and imports nothing of this project.
"""

from __future__ import annotations

import datetime
import gzip
import io
import json
import os
import re
import stat
import sys
import tarfile
import zipfile
from pathlib import PurePosixPath
from typing import IO, Any

LARGEST = 1 << 20  # bytes of a solution; the longest reference has a hundredth of it
UNPACKED = 256 << 20  # bytes of an archive that are looked at, unpacked
ENTRIES = 20_000
DEPTH = 6  # folders
MEMORY, SECONDS = 512 << 20, 20
_SKIPPED = {
    "__MACOSX",
    ".git",
    ".venv",
    "node_modules",
    "__pycache__",
    "solutions",
    "tests",
    "common",
}
_KINDS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}


class Refused(Exception):
    """Why a file or an archive is not taken."""


class Found:
    """The files that answer problems, the plainest name for each."""

    def __init__(self, patterns: dict[str, list[str]]) -> None:
        self.patterns = {
            p: [re.compile(r, re.IGNORECASE) for r in rs] for p, rs in patterns.items()
        }
        self.files: dict[str, tuple[tuple[int, int, str], bytes]] = {}
        self.refused: dict[str, str] = {}
        self.notes: list[str] = []
        self.newest: float | None = None

    def answers(self, path: PurePosixPath) -> tuple[str, int] | None:
        """The problem that a file of this name answers, and how plainly (0 is best)."""
        for problem, patterns in self.patterns.items():
            for rank, pattern in enumerate(patterns):
                if pattern.fullmatch(str(path)):
                    return problem, rank
        return None

    def take(self, path: PurePosixPath, data: bytes, when: float | None) -> None:
        answer = self.answers(path)
        assert answer
        problem, rank = answer
        place = rank, len(path.parts), str(path)
        if problem in self.files:
            self.notes.append(f"more than one file answers {problem}")
        if problem not in self.files or place < self.files[problem][0]:
            self.files[problem] = place, data
        if when is not None:
            self.newest = max(when, self.newest or when)

    def refuse(self, path: PurePosixPath, why: str) -> None:
        self.notes.append(f"{path}: {why}")
        if answer := self.answers(path):
            self.refused.setdefault(answer[0], why)

    def said(self) -> dict[str, Any]:
        files = {}
        for problem, (_, data) in self.files.items():
            try:
                files[problem] = text_of(data)
                self.refused.pop(problem, None)
            except Refused as why:
                self.refused[problem] = str(why)
                self.notes.append(f"{self.files[problem][0][2]}: {why}")
        notes = [*dict.fromkeys(note[:300] for note in self.notes)][:50]
        return {"files": files, "refused": self.refused, "notes": notes, "newest": self.newest}


def text_of(data: bytes) -> str:
    """The text of a solution."""
    if len(data) > LARGEST:
        raise Refused(f"is larger than {LARGEST >> 20} MiB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        byte = f"byte 0x{data[error.start]:02x}"
        raise Refused(f"line {line} is no UTF-8 text ({byte}); save the file as UTF-8") from None
    if "\0" in text:
        raise Refused("holds a null byte, so it is no Python source")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read(path: str, found: Found) -> None:
    """Look through a folder, a zip or a tar."""
    about = os.lstat(path)
    if stat.S_ISLNK(about.st_mode):
        raise Refused("is a link, which is not followed")
    if stat.S_ISDIR(about.st_mode):
        return walk(path, found)
    with regular(path) as file:
        if path.lower().endswith(".zip"):
            return unzip(file, found)
        return untar(file, found)


def regular(path: str) -> IO[bytes]:
    """A regular file, opened; a pipe or a device is not waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(handle, "rb")
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        file.close()
        raise Refused("is no regular file")
    return file


def walk(folder: str, found: Found) -> None:
    """Look through a folder and those in it."""
    count, left = 0, [PurePosixPath()]
    while left:
        above = left.pop()
        for entry in sorted(os.scandir(os.path.join(folder, above)), key=lambda e: e.name):
            count += 1
            if count > ENTRIES:
                raise Refused(f"holds more than {ENTRIES:,} files")
            path = above / entry.name
            if entry.is_dir(follow_symlinks=False):
                if len(path.parts) < DEPTH and entry.name not in _SKIPPED:
                    left.append(path)
            elif found.answers(path):
                if entry.is_symlink():
                    found.refuse(path, "is a link, which is not followed")
                    continue
                try:
                    with regular(entry.path) as file:
                        found.take(path, file.read(LARGEST + 1), os.fstat(file.fileno()).st_mtime)
                except (OSError, Refused) as why:
                    found.refuse(
                        path,
                        why.strerror if isinstance(why, OSError) and why.strerror else str(why),
                    )


def inside(name: str, found: Found) -> PurePosixPath | None:
    """The path of an archive's member, if it answers a problem and stays inside."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"^[A-Za-z]:", name):
        found.notes.append(
            f"holds the path {name[:100]!r}, which leads out of the archive; it was left alone"
        )
        return None
    if any(part in _SKIPPED for part in path.parts[:-1]) or len(path.parts) > DEPTH + 1:
        return None
    return path if found.answers(path) else None


def unzip(file: IO[bytes], found: Found) -> None:
    """Look through a zip; members are read into memory."""
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if len(members) > ENTRIES:
            raise Refused(f"holds more than {ENTRIES:,} files")
        for member in members:
            path = inside(member.filename, found)
            if path is None or member.is_dir():
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                found.refuse(path, "is a link, which is not followed")
            elif member.compress_type not in _KINDS or member.flag_bits & 1:
                found.refuse(
                    path, "is packed in a way that is not read: only stored and deflated files are"
                )
            else:
                try:
                    with archive.open(member) as content:
                        data = content.read(LARGEST + 1)
                except Exception as error:  # whatever a damaged member does to the library
                    found.refuse(path, f"cannot be unpacked ({type(error).__name__})")
                    continue
                found.take(path, data, _when(member))


def _when(member: zipfile.ZipInfo) -> float | None:
    try:
        return datetime.datetime(*member.date_time).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


class _Bounded(io.RawIOBase):
    """A stream that gives up after so many bytes."""

    def __init__(self, source: Any) -> None:
        self.source, self.left = source, UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.source.read(len(buffer))
        self.left -= len(data)
        if self.left < 0:
            raise Refused(f"unpacks to more than {UNPACKED >> 20} MiB")
        buffer[: len(data)] = data
        return len(data)


def untar(file: IO[bytes], found: Found) -> None:
    """Look through a tar, packed by gzip or not, from front to back."""
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    stream = io.BufferedReader(_Bounded(gzip.GzipFile(fileobj=file) if packed else file), 1 << 16)
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for count, member in enumerate(archive):
            if count > ENTRIES:
                raise Refused(f"holds more than {ENTRIES:,} files")
            path = inside(member.name, found)
            if path is None or member.isdir():
                continue
            if not member.isreg() or member.issparse():
                found.refuse(path, "is no regular file, which is not followed")
            elif member.size > LARGEST:
                found.refuse(path, f"is larger than {LARGEST >> 20} MiB")
            else:
                content = archive.extractfile(member)
                found.take(path, content.read(LARGEST + 1) if content else b"", float(member.mtime))


def limit() -> None:
    """Give up what reading does not need."""
    import resource

    for kind, most in {
        resource.RLIMIT_AS: MEMORY, resource.RLIMIT_CPU: SECONDS, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0,
    }.items():  # fmt: skip
        resource.setrlimit(kind, (most, most))


def main() -> None:
    """Read, and print what was found."""
    path, patterns = sys.argv[1:]
    found = Found(json.loads(patterns))
    try:
        limit()
        read(path, found)
    except Refused as why:
        found.notes.append(str(why))
    except OSError as error:
        found.notes.append(f"cannot be read ({error.strerror or error})")
    except BaseException as error:  # an archive may make the libraries raise anything
        found.notes.append(
            f"is not an archive that can be read ({type(error).__name__}: {str(error)[:150]})"
        )
    print(json.dumps(found.said()))


if __name__ == "__main__":
    main()
