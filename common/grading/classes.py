"""A class from its folder to its results: read, grade what is not known yet, keep it. Nobody stops anybody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from common.course.catalogue import Problem
from common.errors import CourseError
from common.grading.engine import nothing
from common.grading.journal import Journal
from common.grading.marks import Scheme
from common.grading.submissions import Submission, read

Result = dict[str, Any]


class Grader(Protocol):
    """Something that grades students: this machine (engine.py) or a cluster (cluster.py)."""

    workers: int
    checks: dict[str, list[str]]  # the names of each problem's checks
    free: dict[str, list[str]]  # those that its skeleton passes

    def grade(self, files: Mapping[str, str]) -> dict[str, Result]: ...


@dataclass
class Graded:
    """A student's results: by problem, where there is one; `asked` is False where nobody asked for new ones."""

    submission: Submission
    results: dict[str, Result]
    asked: bool = True


def rehearse(grader: Grader, problems: Sequence[Problem], scheme: Scheme, journal: Journal) -> None:
    """Make sure that every reference earns all and every skeleton nothing, before a student pays for it.

    Raises:
        CourseError: one does not; with the first check that is to blame.
    """

    def attempt(case: tuple[Problem, str, bool]) -> str:
        problem, text, right = case
        key = journal.key(problem, f"{'reference' if right else 'skeleton'}\n{text}")
        if key not in journal.known:
            result = grader.grade({problem.name: text})[problem.name]
            checks, free = grader.checks[problem.name], grader.free[problem.name]
            earned = sum(e.points for e in scheme.earned(problem, checks, result["passed"], free))
            if right and earned < scheme.points(problem):
                blame = next(
                    (f"{name}: {' '.join(facts)}" for name, _, facts in result["failed"]), ""
                )
                return f"the reference of {problem.name} does not earn all of its points ({blame or result['lines']})"
            if not right and earned:
                return f"the untouched skeleton of {problem.name} earns {float(earned):g} points"
            journal.add({key: {}})
        return ""

    cases = [(p, p.reference_text, True) for p in problems] + [
        (p, p.skeleton, False) for p in problems
    ]
    with ThreadPoolExecutor(grader.workers) as pool:
        if wrong := [says for says in pool.map(attempt, cases) if says]:
            raise CourseError(wrong[0])


def grade_class(
    grader: Grader,
    problems: Sequence[Problem],
    submissions: Sequence[Submission],
    journal: Journal,
    *,
    anew: Callable[[Submission, Problem], bool] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Graded]:
    """Grade everybody, whatever goes wrong with one of them.

    Args:
        anew: which submissions are graded again, though nothing has changed, while all others are left as they are.
    """
    done, lock = 0, threading.Lock()

    def student(submission: Submission) -> Graded:
        nonlocal done
        try:
            return _student(grader, problems, submission, journal, lock, anew)
        except Exception as error:  # a student's line, not the end of the class
            why = f"could not be graded: {type(error).__name__}: {error}"
            return Graded(submission, {p.name: nothing(why) for p in problems})
        finally:
            with lock:
                done += 1
                on_progress(done, len(submissions))

    with ThreadPoolExecutor(grader.workers) as pool:
        return [*pool.map(student, submissions)]


def _student(
    grader: Grader,
    problems: Sequence[Problem],
    submission: Submission,
    journal: Journal,
    lock: threading.Lock,
    anew: Callable[[Submission, Problem], bool] | None,
) -> Graded:
    read(submission, problems)
    handed_in = [p for p in problems if p.name in submission.files]
    keys = {p.name: journal.key(p, submission.files[p.name]) for p in handed_in}
    wanted = [
        p for p in handed_in if (anew(submission, p) if anew else keys[p.name] not in journal.known)
    ]
    new = grader.grade({p.name: submission.files[p.name] for p in wanted}) if wanted else {}
    kept = {keys[name]: result for name, result in new.items() if not result.get("failure_of_ours")}
    if kept:
        with lock:
            journal.add(kept)
    results = {
        p.name: journal.known[keys[p.name]] for p in handed_in if keys[p.name] in journal.known
    } | new
    return Graded(
        submission, results, asked=anew is None or any(anew(submission, p) for p in problems)
    )
