"""What the learner has solved: a small file in the checkout that git ignores, never fatal."""

from __future__ import annotations

import ast
import hashlib
import json
import time
from enum import StrEnum
from functools import cache
from typing import Any

from common.course.catalogue import ROOT, Problem, find
from common.course.outline import definitions
from common.files import content, write_atomically
from common.judging.records import Outcome, Status, Verdict
from common.learner import remembered

FOLDER = ROOT / ".gpt2"
FILE = FOLDER / "progress.json"
VERSION = 1


class State(StrEnum):
    NOT_STARTED = "not started"
    IN_PROGRESS = "in progress"
    PASSES = "passes"


def read() -> dict[str, Any]:
    """The remembered progress. A file that cannot be read is set aside, and that is said."""
    return remembered.read(FILE, checked, "Progress") or {"version": VERSION, "problems": {}}


def checked(data: Any) -> dict[str, Any]:
    """The same, if it is progress of this version; else ValueError, KeyError or TypeError."""
    if data["version"] != VERSION or not isinstance(data["problems"], dict):
        raise ValueError(f"version {data['version']}")
    return data


def update(change: dict[str, Any], data: dict[str, Any] | None = None) -> None:
    """Merge top-level entries into the file; entries of "problems" and "hints" are merged one deeper.

    Args:
        data: what the file holds, where it was read just now.
    """
    data = data or read()
    for key, value in change.items():
        if isinstance(value, dict):
            data[key] = {**data.get(key, {}), **value}
        else:
            data[key] = value
    replace(data)


def replace(data: dict[str, Any]) -> None:
    """Put this in the place of what the file holds; where that cannot be done, it is said."""
    try:
        write_atomically(FILE, json.dumps(data, indent=1, sort_keys=True) + "\n")
    except OSError as error:
        remembered.warn(
            f"progress could not be written to {FILE} ({error.strerror}); the result still holds."
        )


def digest(problem: Problem) -> str:
    """What a result is bound to: the learner's file and the problem's tests."""
    both = hashlib.sha256()
    for path in (problem.solution, *problem.tests):
        both.update(content(path) + b"\0")
    return both.hexdigest()[:32]


def record(verdict: Verdict) -> None:
    """Remember the result of all of a problem's checks, if it is about the learner's own file as it lies there."""
    request = verdict.request
    problem = find(request.problem)
    usual = (request.source, request.earlier, request.device, request.examples)
    if (
        request.file != problem.solution
        or usual != (None, "references", "cpu", False)
        or not verdict.whole
    ):
        return
    entry = {
        "digest": digest(problem),
        "passed": verdict.passed,
        "checks": len(verdict.outcomes),
        "loads": verdict.loads,
        "parts": _parts(verdict.outcomes),
    }
    data = read()
    before = data["problems"].get(problem.name, {})
    if verdict.passes or "solved" in before:
        entry["solved"] = before.get("solved") or int(time.time())  # when it first passed
    update({"problems": {problem.name: entry}}, data)


def _parts(outcomes: tuple[Outcome, ...]) -> dict[str, str]:
    """Where each name of the solution stands, by what the checks that used it gave."""
    parts: dict[str, str] = {}
    for outcome in outcomes:
        for part in outcome.parts:
            good = outcome.status == Status.PASSED and parts.get(part, "passes") == "passes"
            parts[part] = "passes" if good else "in progress"
    return parts


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
    skeleton = _definitions(problem.skeleton.encode())
    mine = _definitions(content(problem.solution))
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
    if not problem.solution.exists():
        return True
    mine, skeleton = content(problem.solution), problem.skeleton.encode()
    return mine == skeleton or _dump(mine) == _dump(skeleton)


@cache
def _dump(source: bytes) -> str:
    try:
        return ast.dump(ast.parse(source))
    except (SyntaxError, ValueError):
        return repr(source)


@cache
def _definitions(source: bytes) -> dict[str, str]:
    """Top-level functions and classes, by name, as text that ignores comments and layout."""
    try:
        found = definitions(source)
    except (SyntaxError, ValueError):
        return {}
    return {name: ast.dump(node) for name, node in found.items()}
