"""What the learner has solved: a small file in the checkout that git ignores, never fatal."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from common.catalogue import ROOT, Problem
from common.results import Outcome, Status

FOLDER = ROOT / ".gpt2"
FILE = FOLDER / "progress.json"
VERSION = 1


class State(StrEnum):
    NOT_STARTED = "not started"
    IN_PROGRESS = "in progress"
    PASSES = "passes"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write so that a reader, or a crash at any moment, finds the old content or the new one, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read() -> dict[str, Any]:
    """The remembered progress. A file that cannot be read is set aside, and that is said."""
    try:
        data = json.loads(FILE.read_text(encoding="utf-8"))
        if data["version"] != VERSION or not isinstance(data["problems"], dict):
            raise ValueError(f"version {data['version']}")
        return data
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        aside = FILE.with_suffix(".corrupt.json")
        try:
            os.replace(FILE, aside)
            print(
                f"{FILE.name} could not be read ({error}); it was set aside as {aside}. Progress starts anew."
            )
        except OSError:
            print(f"{FILE} could not be read ({error}); progress is not remembered.")
    return {"version": VERSION, "problems": {}}


def update(change: dict[str, Any]) -> None:
    """Merge top-level entries into the file; entries of "problems" and "hints" are merged one deeper."""
    data = read()
    for key, value in change.items():
        if isinstance(value, dict):
            data[key] = {**data.get(key, {}), **value}
        else:
            data[key] = value
    try:
        write_atomically(FILE, json.dumps(data, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        print(
            f"progress could not be written to {FILE} ({error.strerror}); the result above still holds."
        )


def digest(problem: Problem) -> str:
    """What a result is bound to: the learner's file and the problem's tests."""
    both = hashlib.sha256()
    for path in (problem.solution, problem.tests):
        both.update(path.read_bytes() if path.is_file() else b"")
        both.update(b"\0")
    return both.hexdigest()[:32]


def record(problem: Problem, outcomes: Sequence[Outcome], *, loads: bool = True) -> None:
    """Remember the result of all of a problem's checks on the learner's file."""
    parts: dict[str, str] = {}
    for outcome in outcomes:
        for part in outcome.parts:
            good = outcome.status == Status.PASSED and parts.get(part, "passes") == "passes"
            parts[part] = "passes" if good else "in progress"
    entry = {
        "digest": digest(problem),
        "passed": sum(o.status == Status.PASSED for o in outcomes),
        "checks": len(outcomes),
        "loads": loads,
        "parts": parts,
    }
    update({"problems": {problem.name: entry}})


def state(problem: Problem, data: dict[str, Any]) -> tuple[State, str]:
    """Where a problem stands, with a word on it: "14 of 19 checks", "changed since it passed".

    An edit of the solution or the tests makes a remembered pass stale: it reads "in progress".
    """
    if untouched(problem):
        return State.NOT_STARTED, ""
    entry = data["problems"].get(problem.name)
    if not entry:
        return State.IN_PROGRESS, "not checked yet"
    solved = entry["checks"] and entry["passed"] == entry["checks"]
    if entry["digest"] != digest(problem):
        return (
            State.IN_PROGRESS,
            "changed since it passed" if solved else "changed since the last check",
        )
    if solved:
        return State.PASSES, ""
    if not entry["loads"]:
        return State.IN_PROGRESS, "the file does not load"
    return State.IN_PROGRESS, f"{entry['passed']} of {entry['checks']} checks pass"


def part_states(problem: Problem, data: dict[str, Any]) -> dict[str, State]:
    """Where each function and class of the problem stands, by its name in the skeleton."""
    skeleton, mine = _definitions(problem.skeleton), _definitions(problem.solution)
    entry = data["problems"].get(problem.name) or {}
    fresh = entry.get("digest") == digest(problem)
    states = {}
    for name, body in skeleton.items():
        if mine.get(name, body) == body and "NotImplementedError" in body:
            states[name] = State.NOT_STARTED
        elif fresh and entry.get("parts", {}).get(name) == "passes":
            states[name] = State.PASSES
        else:
            states[name] = State.IN_PROGRESS
    return states


def untouched(problem: Problem) -> bool:
    """Whether the learner's file is still the skeleton, in what Python sees of it."""
    try:
        mine, skeleton = problem.solution.read_bytes(), problem.skeleton.read_bytes()
    except OSError:
        return not problem.solution.exists()
    return mine == skeleton or _dump(mine) == _dump(skeleton)


def _dump(source: bytes) -> str:
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError):
        return repr(source)


def _definitions(path: Path) -> dict[str, str]:
    """Top-level functions and classes, by name, as text that ignores comments and layout."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name: ast.dump(node) for node in tree.body if isinstance(node, kinds)}
