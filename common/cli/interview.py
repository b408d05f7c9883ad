"""gpt2 interview: one problem, a clock, and nothing that a candidate would not know."""

from __future__ import annotations

import argparse
import shutil

from common.cli import sitting
from common.cli.screen import require_terminal
from common.course.catalogue import Problem, find, problems
from common.errors import CourseError, UnknownProblem, UsageError
from common.learner import attempts
from common.learner.attempts import Attempt
from common.shell import gpt2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problem", nargs="?", help="its number or name; without it: the list")
    sitting.add_arguments(parser, "attempt")


def run(args: argparse.Namespace) -> int:
    """List the problems, or begin one, or go on with it."""
    sitting.require_limit(args.minutes)
    problem = _wanted(args.problem) if args.problem else None
    if args.history:
        print("\n".join(_history(problem)))
        return 0
    if problem is None:
        print("\n".join(_overview()))
        return 0
    attempt = None if args.new else attempts.running(problem)
    if args.submit:
        if not attempt:
            raise CourseError(f"no attempt at {problem.key} is running")
        return sitting.submit(attempt)
    require_terminal()
    fresh = attempt is None
    attempt = attempt or attempts.begin(problem, args.minutes or problem.readme.minutes)
    return sitting.seen_through(attempt, fresh=fresh, last_word=_last_word)


def _overview() -> list[str]:
    past = attempts.history()
    known, width = _interviews(), shutil.get_terminal_size((80, 24)).columns
    longest = max(len(p.title) for p in known)
    lines = []
    for problem in known:
        own = [a for a in past if a.problem == problem.name]
        done = [a for a in own if not a.runs]
        note = f"best {max(done, key=lambda a: a.share).score} in {len(done)}" if done else ""
        if going := [a for a in own if a.runs and a.left]:
            note = f"running, {going[-1].left / 60:.0f} min left"
        readme = problem.readme
        asks = f"{readme.difficulty:<7} {readme.minutes} min"
        row = f"  {int(problem.key[-2:]):>2}  {problem.title:<{longest}}  {asks}"
        fits = len(row) + 3 + len(note) <= width
        lines += [f"{row}   {note}".rstrip()] if fits else [row, f"        {note}"]
    return [*lines, "", f"{gpt2('interview N')} begins; --history shows all attempts."]


def _history(problem: Problem | None) -> list[str]:
    past = attempts.history(problem)
    return sitting.history(past) or [f"No attempt yet: {gpt2('interview')} lists the problems."]


def _last_word(attempt: Attempt) -> list[str]:
    if not attempt.runs:
        return [sitting.last_word(attempt)]
    number = int(find(attempt.problem).key[-2:])
    return [f"The clock goes on. Come back with: {gpt2(f'interview {number}')}"]


def _interviews() -> list[Problem]:
    return [p for p in problems() if p.is_interview]


def _wanted(text: str) -> Problem:
    """The interview problem of that number or name.

    Raises:
        UnknownProblem: there is none, with what there is.
    """
    known = _interviews()
    try:
        number = text.isdigit()  # which an interview has of its own
        return find(f"interview-{text}" if number else text, known)
    except UnknownProblem as unknown:
        try:
            other = find(text)
        except UnknownProblem:
            raise unknown from None
    raise UsageError(f"{other.name} is no interview problem; {gpt2('interview')} lists them")
