"""gpt2 interview: one problem, a clock, and nothing that a candidate would not know."""

from __future__ import annotations

import argparse
import asyncio

from common.cli.interview_screen import Interview
from common.cli.screen import require_terminal
from common.course.catalogue import Problem, find, problems, shown
from common.errors import CourseError, UsageError
from common.interviewing.asking import hidden_tests
from common.interviewing.debrief import finish, minutes
from common.interviewing.past import standing, told
from common.judging.records import Verdict
from common.judging.report import wrapped
from common.learner import attempts
from common.learner.attempts import Attempt
from common.running.judge import Judge
from common.shell import gpt2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problem", nargs="?", help="its number or name; without it: the list")
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
        return submit_without_screen(problem, attempt)
    require_terminal()
    fresh = attempt is None
    attempt = attempt or attempts.begin(problem, args.minutes or problem.readme.minutes)
    last = [attempt]
    try:
        asyncio.run(_on_a_screen(problem, last, fresh))
    except KeyboardInterrupt:
        print("\n".join(_goodbye(last[0])))
        return 130
    print("\n".join(_goodbye(last[0])))
    return 0


async def _on_a_screen(problem: Problem, last: list[Attempt], fresh: bool) -> None:
    interview = Interview(problem, last[0], fresh=fresh)
    try:
        await interview.screen.run(interview.run())
    finally:
        last[0] = interview.attempt


def submit_without_screen(problem: Problem, attempt: Attempt) -> int:
    """Judge an attempt, and print what became of it."""

    async def judged() -> Verdict:
        judge = Judge()
        try:
            return await judge.judge(hidden_tests(problem, attempt))
        finally:
            await judge.close()

    how = "time was up" if attempt.left == 0 else "submitted"
    done, lines = finish(problem, attempt, how, asyncio.run(judged()))
    print("\n".join(piece for line in lines for piece in wrapped(line)))
    return 0 if done.score == 100 else 1


def _overview() -> list[str]:
    past = attempts.history()
    lines = []
    for problem in (p for p in problems() if p.is_interview):
        note = standing(problem, past)
        readme = problem.readme
        asks = f"{readme.difficulty:<7} {readme.minutes} min"
        lines.append(f"  {int(problem.key[-2:]):>2}  {problem.title:<32} {asks}   {note}".rstrip())
    return [*lines, "", f"{gpt2('interview N')} begins; --history shows all attempts."]


def _history(past: list[Attempt]) -> list[str]:
    if not past:
        return [f"No attempt yet: {gpt2('interview')} lists the problems."]
    return [f"{when}   {name:<32} {how}" for when, name, how in map(told, past)]


def _goodbye(attempt: Attempt) -> list[str]:
    if not attempt.runs:
        return [
            f"{attempt.score} % in {minutes(attempt.used)} minutes. {shown(attempt.folder)} keeps it."
        ]
    number = int(attempt.problem[10:12])
    return [f"The clock goes on. Come back with: {gpt2(f'interview {number}')}"]


def _wanted(text: str) -> Problem:
    problem = find(f"interview-{text}" if text.isdigit() else text)
    if not problem.is_interview:
        raise UsageError(f"{problem.name} is no interview problem; gpt2 interview lists them")
    return problem
