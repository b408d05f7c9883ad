"""gpt2 interview: one problem, a clock, and nothing that a candidate would not know."""

from __future__ import annotations

import argparse
import shutil

from common.cli import sitting
from common.cli.screen import require_terminal
from common.course.catalogue import Problem, find, problems
from common.errors import CourseError, UnknownProblem, UsageError
from common.interviewing.past import last_word, standing
from common.learner import attempts
from common.learner.attempts import Attempt
from common.practice.plan import MINUTES
from common.shell import gpt2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("problem", nargs="?", help="its number or name; without it: the list")
    sitting.add_arguments(parser, "attempt")
    parser.add_argument(
        "--mock",
        action="store_true",
        help="a whole session: a warm-up, a main problem, a follow-up, one clock",
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="with --mock: the same seed gives the same session"
    )
    parser.add_argument(
        "--plan",
        nargs="?",
        const="",
        metavar="WHEN",
        help="what to practise on which day until 10d, 2w or 2026-12-06; without a value: show it",
    )
    parser.add_argument(
        "--a-day",
        type=int,
        metavar="N",
        help=f"with --plan: minutes a day, at most (default: {MINUTES})",
    )


def run(args: argparse.Namespace) -> int:
    """List the problems, or begin one, or go on with it."""
    sitting.require_limit(args.minutes)
    _require_what_goes_together(args)
    if args.plan is not None:
        from common.cli.plan import run_plan

        return run_plan(args.plan, args.a_day)
    if args.mock:
        return _mock(args)
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


def _mock(args: argparse.Namespace) -> int:
    from common.cli import mock

    if args.history:
        print("\n".join(mock.history() or [f"No mock yet: {gpt2('interview --mock')} begins one."]))
        return 0
    return mock.run_mock(args.seed, args.minutes, new=args.new, submit=args.submit)


def _require_what_goes_together(args: argparse.Namespace) -> None:
    """Raise UsageError where two options say nothing together."""
    if args.mock and args.plan is not None:
        raise UsageError("--mock and --plan are two things: ask for one of them")
    for option, given in {"--mock": args.mock, "--plan": args.plan is not None}.items():
        if given and args.problem:
            raise UsageError(f"{option} is not about one problem: leave {args.problem} out")
    if args.seed is not None and not args.mock:
        raise UsageError("--seed goes with --mock")
    if args.a_day is not None and args.plan is None:
        raise UsageError("--a-day goes with --plan")


def _overview() -> list[str]:
    past = attempts.history()
    known, width = _interviews(), shutil.get_terminal_size((80, 24)).columns
    longest = max(len(p.title) for p in known)
    lines = []
    for problem in known:
        note = standing(problem, past)
        readme = problem.readme
        asks = f"{readme.difficulty:<7} {readme.minutes} min"
        row = f"  {int(problem.key[-2:]):>2}  {problem.title:<{longest}}  {asks}"
        fits = not note or len(row) + 3 + len(note) <= width
        lines += [f"{row}   {note}".rstrip()] if fits else [row, f"        {note}"]
    more = "--mock draws a whole session, --plan 2w lays out two weeks, --history shows the past."
    return [*lines, "", f"{gpt2('interview N')} begins one of them.", more]


def _history(problem: Problem | None) -> list[str]:
    lines = sitting.history(attempts.history(problem))
    if problem is None:
        from common.cli import mock

        lines += mock.history()
    return lines or [f"No attempt yet: {gpt2('interview')} lists the problems."]


def _last_word(attempt: Attempt) -> list[str]:
    if not attempt.runs:
        return [last_word(attempt)]
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
