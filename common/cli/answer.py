"""What gives the answer away, so shown once one's own passes: the two side by side, and why it is so."""

from __future__ import annotations

import argparse

from common.cli import learn
from common.cli.markdown import plain
from common.course.catalogue import Problem, find, shown
from common.errors import CourseError
from common.files import text
from common.learner import progress, work
from common.learner.progress import State
from common.shell import gpt2


def add_diff_arguments(parser: argparse.ArgumentParser) -> None:
    learn.add_problem(parser, optional=False)
    parser.add_argument("--spoil", action="store_true", help="show it before yours passes")


add_explain_arguments = add_diff_arguments


def diff(args: argparse.Namespace) -> int:
    """The learner's file against the reference."""
    problem = _to_be_shown(args, "the reference")
    lines = work.diff_lines(problem) or ["Yours and the reference are the same."]
    print("\n".join(map(learn.painted_diff, lines)))
    return 0


def explain(args: argparse.Namespace) -> int:
    """Why the reference is as it is: what its lines do, cost, and guard against."""
    problem = _to_be_shown(args, "the explanation")
    print("\n".join([*explanation_of(problem, min(learn.columns(), 80)), ""]))
    print(f"Yours beside the reference: {gpt2(f'diff {problem.key}' + ' --spoil' * args.spoil)}")
    return 0


def explanation_of(problem: Problem, width: int) -> list[str]:
    """What is read after a pass, as a terminal shows it."""
    return plain(text(problem.explanation), width) or [
        f"{problem.key} has none: {shown(problem.explanation)} is missing"
    ]


def _to_be_shown(args: argparse.Namespace, what: str) -> Problem:
    """The problem that is named, if it passes or --spoil is given."""
    problem = find(args.problem)
    if args.spoil or progress.state(problem, progress.read())[0] == State.PASSES:
        return problem
    raise CourseError(
        f"{what} of {problem.key} is shown once yours passes ({gpt2(f'check {problem.key}')}); "
        "--spoil shows it now"
    )
