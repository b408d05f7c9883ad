"""Who handed in what. Reads bytes; executes, follows and unpacks nothing.

Archives are read in memory and only the files that answer a problem are taken out of them, so that no
name in them is ever a path on this machine.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from common.catalogue import Problem, problems

from common.errors import UsageError

LARGEST = 1 << 20  # bytes of a solution.py; the longest reference has a hundredth of it
UNPACKED = 256 << 20  # bytes that an archive may hold, unpacked
ENTRIES = 20_000
_ARCHIVE = re.compile(r"\.(?:zip|tar|tar\.gz|tgz)$", re.I)
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


@dataclass
class Submission:
    """One student's: file or folder, and once `read`, the bytes of what answers a problem."""

    name: str
    path: Path
    files: dict[str, bytes] = field(default_factory=dict)  # by the problem's name
    refused: dict[str, str] = field(default_factory=dict)  # why a problem's file was not taken
    notes: list[str] = field(default_factory=list)  # what a person should know


def answered(parts: tuple[str, ...], known: tuple[Problem, ...]) -> tuple[Problem, int] | None:
    """The problem that a file of this name answers, and how plainly (0 is best).

    10-full-model/solution.py, 10-full-model.py, 10_full_model.py, solution_10.py, solution-10.py, 10.py;
    interviews the same, with interview-01 for 10.
    """
    name = parts[-1].lower()
    if not name.endswith(".py"):
        return None
    for problem in known:
        if name == "solution.py" and len(parts) > 1 and parts[-2] == problem.name:
            return problem, 0
        key = problem.key.replace("-", "[-_]")
        whole = re.escape(problem.name).replace(r"\-", "-").replace("-", "[-_]")
        patterns = (whole, f"solution[-_]?{key}", key, f"problem[-_]?{key}")
        for rank, pattern in enumerate(patterns, 1):
            if re.fullmatch(rf"{pattern}\.py", name):
                return problem, rank
    return None


def find_submissions(folder: Path) -> list[Submission]:
    """One for each subfolder or archive, in the order of their names; or the one that `folder` itself is.

    Raises:
        UsageError: nothing there.
    """
    if folder.is_file() and _ARCHIVE.search(folder.name):
        return [Submission(_ARCHIVE.sub("", folder.name), folder)]
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder of submissions")
    known = problems()
    if _is_one(folder, known):
        return [Submission(folder.resolve().name, folder)]
    found: list[Submission] = []
    taken: set[str] = set()
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        name = _ARCHIVE.sub("", entry.name)
        archive = name != entry.name
        if entry.name.startswith("."):
            continue
        if not (archive or entry.is_dir(follow_symlinks=False) or entry.is_symlink()):
            continue
        while name in taken:
            name += "+"
        taken.add(name)
        found.append(Submission(name, Path(entry.path)))
    if not found:
        raise UsageError(f"{folder} holds no folder and no .zip or .tar.gz of a student")
    return found


def _is_one(folder: Path, known: tuple[Problem, ...]) -> bool:
    names = {p.name for p in known}
    for entry in os.scandir(folder):
        if entry.is_file(follow_symlinks=False) and answered((entry.name,), known):
            return True
        if entry.is_dir(follow_symlinks=False) and entry.name in names:
            return True
        inner = Path(entry.path)
        if entry.name == "problems" and entry.is_dir(follow_symlinks=False):
            return any((inner / name).is_dir() for name in names)
    return False


def read(submission: Submission) -> Submission:
    """Fill in the files. What is odd becomes a note or a refusal, never an exception."""
    found: dict[str, tuple[int, int, str, bytes]] = {}
    known = problems()

    def take(parts: tuple[str, ...], data: bytes) -> None:
        if answer := answered(parts, known):
            problem, rank = answer
            place = (rank, len(parts), "/".join(parts), data)
            if problem.name in found:
                submission.notes.append(f"more than one file answers {problem.key}")
            if problem.name not in found or place[:3] < found[problem.name][:3]:
                found[problem.name] = place

    def wanted(parts: tuple[str, ...]) -> bool:
        return answered(parts, known) is not None

    def refuse(parts: tuple[str, ...], why: str) -> None:
        if answer := answered(parts, known):
            submission.refused.setdefault(answer[0].name, why)
            submission.notes.append(f"{'/'.join(parts)}: {why}")

    try:
        if submission.path.is_symlink():
            submission.notes.append("is a link to somewhere else, which is not followed")
        elif submission.path.is_dir():
            _walk(submission.path, wanted, take, refuse)
        elif submission.path.name.lower().endswith(".zip"):
            _unzip(submission.path, submission.notes, wanted, take, refuse)
        else:
            _untar(submission.path, submission.notes, wanted, take, refuse)
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError, KeyError) as error:
        submission.notes.append(f"cannot be read: {type(error).__name__}: {str(error)[:200]}")
    except (zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, zlib.error) as error:
        submission.notes.append(f"is not an archive that can be read: {str(error)[:200]}")
    submission.files = {name: place[3] for name, place in found.items()}
    for name in submission.files:
        submission.refused.pop(name, None)
    submission.notes = list(dict.fromkeys(submission.notes))[:50]
    return submission


def text_of(data: bytes) -> tuple[str, str]:
    """A solution's text, and why it is none."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return (
            "",
            f"line {line}: not UTF-8 text (byte 0x{data[error.start]:02x}); save the file as UTF-8",
        )
    if "\0" in text:
        return "", "holds a null byte, so it is not Python source"
    return text.replace("\r\n", "\n"), ""


def _walk(folder: Path, wanted, take, refuse) -> None:
    for count, (parts, entry) in enumerate(_entries(folder, ())):
        if count > ENTRIES:
            raise ValueError(f"more than {ENTRIES} files")
        if not wanted(parts):
            continue
        if entry.is_symlink():
            refuse(parts, "is a link, which is not followed")
        elif entry.is_dir(follow_symlinks=False):
            refuse(parts, "is a folder, not a Python file")
        else:
            data = _read_regular(entry.path)
            if isinstance(data, bytes):
                take(parts, data)
            else:
                refuse(parts, data)


def _entries(
    folder: Path, above: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], os.DirEntry[str]]]:
    with os.scandir(folder) as scan:
        entries = sorted(scan, key=lambda e: e.name)
    for entry in entries:
        parts = (*above, entry.name)
        yield parts, entry
        inside = entry.is_dir(follow_symlinks=False) and not entry.is_symlink()
        if inside and len(parts) < 6 and entry.name not in _SKIPPED:
            yield from _entries(Path(entry.path), parts)


def _read_regular(path: str) -> bytes | str:
    """The file's bytes, or why not. A pipe or a device is not waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            return "is not a regular file"
        data = file.read(LARGEST + 1)
    return data if len(data) <= LARGEST else f"is larger than {LARGEST >> 20} MiB"


def _safe(name: str, notes: list[str]) -> tuple[str, ...] | None:
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"^[A-Za-z]:", name):
        notes.append(
            f"holds the path {name[:100]}, which leads out of the archive; it was left alone"
        )
        return None
    if any(part in _SKIPPED for part in path.parts[:-1]) or not path.parts:
        return None
    return path.parts


def _unzip(path: Path, notes: list[str], wanted, take, refuse) -> None:
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > ENTRIES:
            raise ValueError(f"more than {ENTRIES} files")
        if sum(m.file_size for m in members) > UNPACKED:
            notes.append(
                f"unpacks to more than {UNPACKED >> 20} MiB; only what answers a problem was read"
            )
        for member in members:
            parts = _safe(member.filename, notes)
            if parts is None or member.is_dir() or not wanted(parts):
                continue
            if stat.S_ISLNK(member.external_attr >> 16):
                refuse(parts, "is a link, which is not followed")
                continue
            with archive.open(member) as file:
                data = file.read(LARGEST + 1)
            if len(data) > LARGEST:
                refuse(parts, f"is larger than {LARGEST >> 20} MiB")
            else:
                take(parts, data)


class _Bounded(io.RawIOBase):
    """A stream that gives up after so many bytes."""

    def __init__(self, source: io.BufferedIOBase | gzip.GzipFile) -> None:
        self.source, self.left = source, UNPACKED

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        data = self.source.read(len(buffer))
        self.left -= len(data)
        if self.left < 0:
            raise ValueError(f"it unpacks to more than {UNPACKED >> 20} MiB")
        buffer[: len(data)] = data
        return len(data)


def _untar(path: Path, notes: list[str], wanted, take, refuse) -> None:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        source = gzip.GzipFile(fileobj=raw) if packed else raw
        stream = io.BufferedReader(_Bounded(source), 1 << 16)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for count, member in enumerate(archive):
                if count > ENTRIES:
                    raise ValueError(f"more than {ENTRIES} files")
                parts = _safe(member.name, notes)
                if parts is None or not wanted(parts) or member.isdir():
                    continue
                if not member.isreg():
                    refuse(parts, "is a link or a device, which is not followed")
                elif member.size > LARGEST:
                    refuse(parts, f"is larger than {LARGEST >> 20} MiB")
                else:
                    file = archive.extractfile(member)
                    take(parts, file.read() if file else b"")
