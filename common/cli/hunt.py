"""gpt2 hunt: a file that works but for its bugs, a clock, and a debrief bug by bug."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from common.cli import sitting
from common.cli.screen import require_terminal
from common.course.catalogue import Problem, find, hunted, shown
from common.errors import CourseError, UsageError
from common.hunting.composing import LEVELS, Hunt, compose, level_of
from common.hunting.handing_out import NAME, hand_out
from common.interviewing.past import last_word
from common.learner import attempts
from common.learner.attempts import Attempt
from common.shell import gpt2

_SEEDS = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "problem", nargs="?", help="level 1: the problem in whose reference the bug is"
    )
    parser.add_argument(
        "--level", type=int, metavar="N", help=f"1 to {max(LEVELS)}: where, and how many bugs"
    )
    parser.add_argument(
        "--seed", type=int, metavar="N", help="the same level and seed give the same file"
    )
    parser.add_argument(
        "--next", action="store_true", help="go on with the file of the last hunt of level 3"
    )
    parser.add_argument(
        "--hand-out",
        type=Path,
        metavar="DIR",
        help="write the hunt as a course of one problem, for a class (GRADING.md)",
    )
    sitting.add_arguments(parser, "hunt")


def run(args: argparse.Namespace) -> int:
    """Say what there is, begin a hunt, or go on with it."""
    sitting.require_limit(args.minutes)
    problem = find(args.problem) if args.problem else None
    level = args.level if args.level is not None else 1 if problem else 0
    if level:
        level_of(level)
    if args.seed is not None and not level:
        raise UsageError("--seed goes with a problem or with --level")
    if args.history:
        nothing = [f"No hunt yet: {gpt2('hunt')} says what there is."]
        print("\n".join(sitting.history(attempts.hunts()) or nothing))
        return 0
    if args.hand_out:
        return _hand_out(compose(level or 3, args.seed or 0, problem), args.hand_out)
    going = None if args.new else _running(problem, level, args.seed)
    if args.submit:
        if not going:
            raise CourseError("no such hunt is running")
        return sitting.submit(going)
    if not going and not level and not args.next:
        print("\n".join(_overview()))
        return 0
    require_terminal()
    fresh = going is None
    going = going or (
        _follow_up(args.minutes) if args.next else _begin(problem, level, args.seed, args.minutes)
    )
    return sitting.seen_through(going, fresh=fresh, last_word=_last_word)


def _hand_out(hunt: Hunt, folder: Path) -> int:
    """Write a hunt for a class, and say how it is graded."""
    hand_out(hunt, folder)
    given = folder / "problems" / NAME
    points = folder / "requirements.toml"
    grading = f"--course {folder} grade SUBMISSIONS --problems 60 --requirements {points} --out DIR"
    print(f"For the students: {shown(given)} (README.md and solution.py; the tests stay with you)")
    print(f"To grade what they hand in: {gpt2(grading)}")
    return 0


def _running(problem: Problem | None, level: int, seed: int | None) -> Attempt | None:
    """The latest hunt whose clock has not been stopped, of those that were asked for."""
    if seed is not None:
        seed = compose(level, seed, problem).seed
    for attempt in reversed(attempts.hunts()):
        fits = (
            problem in (None, find(attempt.problem))
            and level in (0, attempt.level)
            and seed in (None, attempt.seed)
        )
        if attempt.runs and fits:
            return attempt
    return None


def _begin(problem: Problem | None, level: int, seed: int | None, limit: float | None) -> Attempt:
    past = {(a.level, a.problem, a.planted) for a in attempts.hunts()}
    for wanted in [seed] if seed is not None else (secrets.randbelow(_SEEDS) for _ in range(20)):
        hunt = compose(level, wanted, problem)
        planted = attempts.unreadable(m.name for m in hunt.planted)
        if (level, hunt.problem.name, planted) not in past:
            break
    if seed is not None and hunt.seed != seed:
        print(f"Seed {seed} makes no hunt of level {level}: seed {hunt.seed} is used instead.")
    return sitting.begin_hunt(hunt, limit or LEVELS[level].minutes)


def _follow_up(limit: float | None) -> Attempt:
    """What an interviewer asks next of somebody whose file trains: the first follow-up that has not been solved."""
    past = attempts.hunts()
    over = [a for a in past if a.level == 3 and a.used is not None]
    if not over:
        raise CourseError(
            f"--next goes on with a hunt of level 3 that is over: {gpt2('hunt --level 3')} begins one"
        )
    last = max(over, key=lambda a: a.begun + 60 * (a.used or 0))
    following = [p for p in hunted() if not p.symptoms.exists()]
    solved = {a.problem for a in past if a.whole}
    problem = next((p for p in following if p.name not in solved), following[0])
    return sitting.begin_after(last, problem, limit or problem.readme.minutes)


def _overview() -> list[str]:
    lines = ["A file that works but for its bugs. Find them, mend them, submit.", ""]
    past = attempts.hunts()
    for number, level in LEVELS.items():
        done = [a for a in past if a.level == number and not a.runs]
        note = f"   {sum(a.whole for a in done)} of {len(done)} solved" if done else ""
        lines.append(f"  {number}  {level.says}, {level.minutes} min{note}")
    return [
        *lines,
        "",
        f"{gpt2('hunt 05')} plants one in problem 05, {gpt2('hunt --level 3')} some in a whole training run.",
        f"How to go about it: {shown(hunted()[0].root / 'README.md')}",
    ]


def _last_word(attempt: Attempt) -> list[str]:
    if attempt.runs:
        return [f"The clock goes on. Come back with: {gpt2('hunt')}"]
    lines = [last_word(attempt)]
    if attempt.level == 3:
        lines.append(f"What an interviewer would ask next: {gpt2('hunt --next')}")
    return lines
