"""A class, graded: every student's problems over a few workers, each result written down as it comes.

A run that was killed goes on where it was: results are keyed by what they depend on, so that nothing is
run twice, lost, or taken over from another version of a file or of the tests.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from common.catalogue import ROOT, Problem
from common.errors import CourseError
from common.grading import sandbox
from common.grading.screen import doubtful
from common.grading.submissions import Submission, read, text_of
from common.grading.worker import Examiner, Worker

Result = dict[str, Any]  # one student's problem: see GRADING.md, "journal"


@dataclass
class Course:
    """What is graded, and how."""

    problems: Sequence[Problem]
    out: Path
    limits: sandbox.Limits = field(default_factory=sandbox.Limits)
    workers: int = 1
    bubblewrap: str = ""
    names: dict[str, list[str]] = field(default_factory=dict)  # a problem's checks
    free: dict[str, list[str]] = field(
        default_factory=dict
    )  # of them, those that a skeleton passes
    layers: set[str] = field(default_factory=set)

    @property
    def work(self) -> Path:
        return self.out / ".work"


class Journal:
    """Results on disk, a line each; a line that a crash cut short is as if it had never been begun."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "journal.jsonl"
        self.known: dict[tuple[str, str], Result] = {}
        self.file: IO[bytes] = self.path.open("a+b")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise CourseError(f"another run is writing to {folder.parent}") from None
        self.file.seek(0)
        data = self.file.read()
        for line in data.splitlines():
            try:
                result = json.loads(line)
                self.known[result["student"], result["problem"]] = result
            except (ValueError, KeyError, TypeError):
                continue
        if data and not data.endswith(b"\n"):
            self.file.write(b"\n")
        self.lock = threading.Lock()

    def add(self, result: Result) -> None:
        """Write a result so that no crash takes it back."""
        with self.lock:
            self.known[result["student"], result["problem"]] = result
            self.file.write(json.dumps(result, sort_keys=True).encode() + b"\n")
            self.file.flush()
            os.fsync(self.file.fileno())

    def close(self) -> None:
        self.file.close()


def grade_class(
    course: Course, submissions: Sequence[Submission], advance: Callable[[int, int], None]
) -> tuple[list[Submission], dict[tuple[str, str], Result]]:
    """Run what has not been run; all results.

    Args:
        advance: is told how many students are done, of how many.
    """
    journal = Journal(course.work)
    for old in course.work.glob("view-*"):
        shutil.rmtree(old, ignore_errors=True)
    examiner = Examiner()
    waiting, lock, done = [*reversed(submissions)], threading.Lock(), [0]
    troubles: list[BaseException] = []

    def lane(base: str) -> None:
        worker = Worker(course.problems, course.limits, course.bubblewrap, course.work, examiner)
        try:
            while not troubles:
                with lock:
                    if not waiting:
                        return
                    submission = waiting.pop()
                grade_student(course, read(submission), worker, journal, base)
                with lock:
                    done[0] += 1
                    advance(done[0], len(submissions))
        except BaseException as error:
            troubles.append(error)
        finally:
            worker.close()

    try:
        for problem in course.problems:
            about = examiner.ask({"free": problem.name})
            course.names[problem.name], course.free[problem.name] = about["names"], about["free"]
        count = max(1, min(course.workers, len(submissions)))
        base = _fingerprint(course)
        threads = [threading.Thread(target=lane, args=(base,), daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():  # so that Ctrl-C is heard
                thread.join(0.2)
        if troubles:
            raise troubles[0]
    finally:
        examiner.close()
        journal.close()
    wanted = {(s.name, p.name) for s in submissions for p in course.problems}
    results = {k: r for k, r in journal.known.items() if k in wanted}
    course.layers = {layer for r in results.values() for layer in r["layers"]}
    return [*submissions], results


def grade_student(
    course: Course, submission: Submission, worker: Worker, journal: Journal, base: str
) -> None:
    """All problems of one student, each written down as soon as it is known."""
    for problem in course.problems:
        data = submission.files.get(problem.name)
        refusal = submission.refused.get(problem.name, "")
        key = hashlib.sha256(
            f"{base}\0{problem.name}\0{refusal}\0".encode() + (data or b"")
        ).hexdigest()[:32]
        known = journal.known.get((submission.name, problem.name))
        if known and known["key"] == key:
            continue
        result: Result = {"student": submission.name, "problem": problem.name, "key": key}
        journal.add(result | grade_file(problem, data, refusal, worker))


def grade_file(problem: Problem, data: bytes | None, refusal: str, worker: Worker) -> Result:
    """What one problem's file gives, as facts; points are made of them later."""
    empty: Result = {
        "state": "graded", "passed": [], "outcomes": [], "lines": [], "cause": [], "ended": "", "tried": [],
        "tampered": [], "unproven": [], "odd": [], "withheld": [], "layers": [], "printed": "",
    }  # fmt: skip
    if data is None:
        state = "refused" if refusal else "missing"
        return empty | {
            "state": state,
            "lines": [refusal and f"The file was not taken: it {refusal}."],
        }
    source, why = text_of(data)
    if why:
        return empty | {"state": "refused", "lines": [f"{problem.name}: {why}"]}
    answer = worker.run(problem, source)
    unproven = set(answer["unproven"])
    outcomes = [
        {
            "name": o["name"],
            "status": "unproven" if o["name"] in unproven else o["status"],
            "lines": o["lines"][:8],
        }
        for o in answer["outcomes"]
    ]
    return empty | {
        "passed": [o["name"] for o in outcomes if o["status"] == "passed"],
        "outcomes": [o for o in outcomes if o["status"] != "passed"],
        "lines": answer["lines"],
        "cause": answer["cause"],
        "ended": answer["ended"],
        "tried": list(dict.fromkeys(answer["tried"])),
        "tampered": list(dict.fromkeys(answer["tampered"])),
        "unproven": answer["unproven"],
        "odd": answer["odd"],
        "withheld": doubtful(source),
        "layers": sorted({*answer["layers"], *(["bubblewrap"] if worker.bubblewrap else [])}),
    }


def _fingerprint(course: Course) -> str:
    """What a result depends on beside the student's file: the tests, the references, the harness, the limits."""
    both = hashlib.sha256(json.dumps([asdict(course.limits), bool(course.bubblewrap)]).encode())
    parts = [ROOT / "common", ROOT / "common" / "testing", ROOT / "common" / "grading"]
    files = [path for part in parts for path in part.glob("*.py")]
    for problem in course.problems:
        files += [problem.tests, problem.reference, problem.mistakes, problem.skeleton]
    for path in sorted(files):
        both.update(path.read_bytes() if path.is_file() else b"")
    return both.hexdigest()
