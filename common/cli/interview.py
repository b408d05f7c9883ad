"""gpt2 interview: one problem, a clock, and nothing that a candidate would not know."""

from __future__ import annotations

import argparse
from datetime import datetime

from common import attempts
from common.attempts import Attempt
from common.catalogue import Problem, find, problems, shown
from common.cli.interview_screen import LIMIT, Interview, finish, minutes
from common.cli.terminal import Terminal
from common.errors import CourseError, UsageError
from common.warm_client import Warm


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problem", nargs="?", help="1 to 6, or a name; without it: the list")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="the time limit (default: the problem's own)"
    )
    parser.add_argument("--new", action="store_true", help="start anew; the old attempt is kept")
    parser.add_argument("--submit", action="store_true", help="end the attempt that is running")
    parser.add_argument("--history", action="store_true", help="all attempts, with their scores")


def run(args: argparse.Namespace) -> int:
    """List the problems, or begin one, or go on with it."""
    if args.minutes is not None and not 0 < args.minutes <= 600:
        raise UsageError(f"--minutes must be above 0 and at most 600, not {args.minutes:g}")
    problem = _wanted(args.problem) if args.problem else None
    if args.history:
        print("\n".join(_history(attempts.history(problem))))
        return 0
    if problem is None:
        print("\n".join(_overview()))
        return 0
    attempt = None if args.new else attempts.running(problem)
    if args.submit:
        if not attempt:
            raise CourseError(f"no attempt at {problem.key} is running")
        return _submit_without_screen(problem, attempt)
    fresh = attempt is None
    with Terminal() as terminal:
        attempt = attempt or attempts.begin(problem, args.minutes or problem.minutes)
        interview = Interview(terminal, problem, attempt, fresh=fresh)
        left = False
        try:
            interview.loop()
        except KeyboardInterrupt:
            left = True
        finally:
            interview.close()
    print("\n".join(_goodbye(interview.attempt)))
    return 130 if left else 0


def _submit_without_screen(problem: Problem, attempt: Attempt) -> int:
    warm = Warm()
    try:
        number = warm.check(problem, LIMIT, attempt.file)
        while True:
            answers = [m for m in warm.read() if m.get("id") == number]
            if answers:
                break
    finally:
        warm.close()
    done, lines = finish(
        problem, attempt, "time was up" if attempt.left == 0 else "submitted", answers[0]
    )
    print("\n".join(lines))
    return 0 if done.score == 100 else 1


def _overview() -> list[str]:
    past = attempts.history()
    lines = []
    for problem in (p for p in problems() if p.is_interview):
        own = [a for a in past if a.problem == problem.name]
        done = [a for a in own if not a.runs]
        note = f"best {max(a.score for a in done)} % in {len(done)}" if done else ""
        if any(a.runs and a.left for a in own):
            note = "running"
        lines.append(
            f"  {int(problem.key[-2:])}  {problem.title:<32} {problem.difficulty:<7} "
            f"{problem.minutes} min   {note}".rstrip()
        )
    return [*lines, "", "gpt2 interview N begins; --history shows all attempts."]


def _history(past: list[Attempt]) -> list[str]:
    if not past:
        return ["No attempt yet: gpt2 interview lists the problems."]
    lines = []
    for a in past:
        when = datetime.fromtimestamp(a.begun).strftime("%Y-%m-%d %H:%M")
        if not a.runs:
            hints = f", {a.hints} hint{'s' * (a.hints > 1)}" if a.hints else ""
            how = f"{minutes(a.used)} of {a.minutes:g} min   {a.score:>3} %   {a.how}{hints}"
        else:
            how = "running" if a.left else "time is up; go on to see the score"
        lines.append(f"{when}   {a.problem:<32} {how}")
    return lines


def _goodbye(attempt: Attempt) -> list[str]:
    if not attempt.runs:
        return [
            f"{attempt.score} % in {minutes(attempt.used)} minutes. {shown(attempt.folder)} keeps it."
        ]
    number = int(attempt.problem[10:12])
    return [f"The clock goes on. Come back with: uv run gpt2 interview {number}"]


def _wanted(text: str) -> Problem:
    problem = find(f"interview-{text}" if text.isdigit() else text)
    if not problem.is_interview:
        raise UsageError(f"{problem.name} is no interview problem; gpt2 interview lists them")
    return problem
