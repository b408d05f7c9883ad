"""Who handed in what. Reads bytes; executes, follows and unpacks nothing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.course.catalogue import Problem
from common.errors import UsageError

_READER = Path(__file__).with_name("reader.py")
_ARCHIVE = re.compile(r"\.(?:zip|tar|tar\.gz|tgz)$", re.IGNORECASE)
_SECONDS = 60  # on the clock, for reading one student's
_LONGEST = 64 << 20  # bytes of what the reader says


@dataclass
class Submission:
    """One student's folder or archive, and once `read`, what is in it.

    Args:
        name: the entry's name in the class's folder, without the ending of an archive.
        slug: a file name that no other entry has.
        files: the text of each solution, by the problem's name.
        refused: why a problem's file was not taken.
        notes: what a person should know of what was handed in.
        newest: when the last of the files was changed, in seconds since 1970.
    """

    name: str
    path: Path
    slug: str
    files: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    newest: float | None = None


def find_submissions(place: Path, *, one: bool = False) -> list[Submission]:
    """A class: one for each folder or archive in `place`, in the order of their names.

    Args:
        one: `place` is itself the folder or archive of one student.

    Raises:
        UsageError: nothing there.
    """
    if one:
        if not os.path.lexists(place):
            raise UsageError(f"{place} is not there")
        return [_submission(place.absolute())]
    if not place.is_dir():
        raise UsageError(
            f"{place} is no folder of submissions; one student's archive is graded with --one"
        )
    found = []
    for entry in sorted(os.scandir(place), key=lambda e: e.name):
        taken = (
            _ARCHIVE.search(entry.name) or entry.is_dir(follow_symlinks=False) or entry.is_symlink()
        )
        if taken and not entry.name.startswith("."):
            found.append(_submission(Path(entry.path)))
    if not found:
        raise UsageError(
            f"{place} holds no folder and no .zip or .tar.gz of a student; "
            "one student's own folder is graded with --one"
        )
    return found


def _submission(path: Path) -> Submission:
    plain = _ARCHIVE.sub("", path.name)
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:10]
    readable = re.sub(r"[^A-Za-z0-9]+", "-", plain).strip("-")[:50].lower() or "student"
    return Submission(plain, path, f"{readable}-{digest}")


def read(submission: Submission, problems: Sequence[Problem]) -> Submission:
    """Fill in what is there. What is odd becomes a note or a refusal, never an exception."""
    patterns = json.dumps({p.name: names_of(p) for p in problems})
    try:
        done = subprocess.run(
            [sys.executable, "-I", str(_READER), os.fspath(submission.path), patterns],
            capture_output=True, stdin=subprocess.DEVNULL, timeout=_SECONDS, check=False,
        )  # fmt: skip
        said = json.loads(done.stdout[:_LONGEST])
        submission.files, submission.refused = said["files"], said["refused"]
        submission.notes, submission.newest = said["notes"], said["newest"]
    except subprocess.TimeoutExpired:
        submission.notes.append(f"took longer than {_SECONDS} seconds to read")
    except (ValueError, KeyError, OSError) as error:
        submission.notes.append(f"cannot be read: reading it failed ({type(error).__name__})")
    return submission


def names_of(problem: Problem) -> list[str]:
    """Patterns for the paths that answer a problem, the plainest first.

    10-full-model/solution.py, 10-full-model.py or 10_full_model.py, solution_10.py, 10.py, problem_10.py;
    interviews the same with interview-01 for 10.
    """
    key = problem.key.replace("-", "[-_]")
    whole = re.escape(problem.name).replace(r"\-", "[-_]")
    folder = f"(?:.*/)?{re.escape(problem.name)}/solution\\.py"
    return [
        folder,
        *(
            f"(?:.*/)?{name}\\.py"
            for name in (whole, f"solution[-_]?{key}", key, f"problem[-_]?{key}")
        ),
    ]
