"""gpt2 hunt: a file that works but for its bugs, a clock, and a debrief bug by bug."""

from __future__ import annotations

import argparse
import asyncio
import secrets
from datetime import datetime
from pathlib import Path

from common.cli import interview
from common.cli.hunt_screen import Hunting, asked, finish, heading
from common.cli.interview_screen import Interview
from common.cli.screen import require_terminal
from common.course.catalogue import Problem, find, hunted, shown
from common.errors import CourseError, UsageError
from common.hunting.composing import LEVELS, Hunt, compose, level_of
from common.hunting.handing_out import NAME, hand_out
from common.interviewing.debrief import minutes
from common.judging.records import Verdict
from common.learner import attempts
from common.learner.attempts import Attempt
from common.running.judge import Judge
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
        "--minutes", type=float, metavar="N", help="the time limit (default: the level's own)"
    )
    parser.add_argument(
        "--next", action="store_true", help="go on with the file of the last hunt of level 3"
    )
    parser.add_argument("--new", action="store_true", help="begin anew; the old hunt is kept")
    parser.add_argument("--submit", action="store_true", help="end the hunt that is running")
    parser.add_argument(
        "--hand-out",
        type=Path,
        metavar="DIR",
        help="write the hunt as a course of one problem, for a class (GRADING.md)",
    )
    parser.add_argument("--history", action="store_true", help="all hunts, with what was mended")


def run(args: argparse.Namespace) -> int:
    """Say what there is, begin a hunt, or go on with it."""
    if args.minutes is not None and not 0 < args.minutes <= 600:
        raise UsageError(f"--minutes must be above 0 and at most 600, not {args.minutes:g}")
    problem = find(args.problem) if args.problem else None
    level = args.level if args.level is not None else 1 if problem else 0
    if level:
        level_of(level)
    if args.seed is not None and not level:
        raise UsageError("--seed goes with a problem or with --level")
    if args.history:
        print("\n".join(_history(attempts.hunts())))
        return 0
    if args.hand_out:
        return _hand_out(compose(level or 2, args.seed or 0, problem), args.hand_out)
    going = None if args.new else _running(problem, level, args.seed)
    if args.submit:
        if not going:
            raise CourseError("no such hunt is running")
        return _submit_without_screen(going)
    if not going and not level and not args.next:
        print("\n".join(_overview()))
        return 0
    require_terminal()
    fresh = going is None
    going = going or (
        _follow_up(args.minutes) if args.next else _begin(problem, level, args.seed, args.minutes)
    )
    last = [going]
    try:
        asyncio.run(_on_a_screen(last, fresh))
    except KeyboardInterrupt:
        print("\n".join(_goodbye(last[0])))
        return 130
    print("\n".join(_goodbye(last[0])))
    return 0


def _hand_out(hunt: Hunt, folder: Path) -> int:
    """Write a hunt for a class, and say how it is graded."""
    hand_out(hunt, folder)
    given = folder / "problems" / NAME
    points = folder / "requirements.toml"
    grading = f"--course {folder} grade SUBMISSIONS --problems 60 --requirements {points} --out DIR"
    print(f"For the students: {shown(given)} (README.md and solution.py; the tests stay with you)")
    print(f"To grade what they hand in: {gpt2(grading)}")
    return 0


def hunt_of(attempt: Attempt) -> Hunt:
    """The hunt that an attempt is about.

    Raises:
        CourseError: the course's own mistakes have changed since it began.
    """
    problem = find(attempt.problem)
    try:
        hunt = compose(attempt.level, attempt.seed, problem if attempt.level == 1 else None)
        if attempt.given.read_text(encoding="utf-8") == hunt.text:
            return hunt
    except (OSError, CourseError):
        pass
    raise CourseError(
        f"the hunt in {shown(attempt.folder)} was made by another version of this course, or its given.py "
        f"was changed: begin another one with --new"
    )


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
    return attempts.begin(
        hunt.problem,
        limit or LEVELS[level].minutes,
        hunt.text,
        level=level,
        seed=hunt.seed,
        planted=planted,
    )


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
    solved = {a.problem for a in past if a.score == 100}
    problem = next((p for p in following if p.name not in solved), following[0])
    whole = last.score == 100  # what is not mended would be judged again
    text = (last.file if whole else last.folder / "clean.py").read_text(encoding="utf-8")
    return attempts.begin(problem, limit or problem.readme.minutes, text)


def _screen(attempt: Attempt, fresh: bool) -> Interview:
    if attempt.level:
        return Hunting(hunt_of(attempt), attempt, fresh=fresh)
    return Interview(find(attempt.problem), attempt, fresh=fresh)


async def _on_a_screen(last: list[Attempt], fresh: bool) -> None:
    shown_on = _screen(last[0], fresh)
    try:
        await shown_on.screen.run(shown_on.run())
    finally:
        last[0] = shown_on.attempt


def _submit_without_screen(attempt: Attempt) -> int:
    if not attempt.level:
        return interview.submit_without_screen(find(attempt.problem), attempt)
    hunt = hunt_of(attempt)

    async def judged() -> list[Verdict]:
        judge = Judge()
        try:
            answers: list[Verdict] = []
            while len(answers) < len(requests := asked(hunt, attempt, answers)):
                answers.append(await judge.judge(requests[len(answers)]))
            return answers
        finally:
            await judge.close()

    how = "time was up" if attempt.left == 0 else "submitted"
    done, lines = finish(hunt, attempt, how, asyncio.run(judged()))
    print("\n".join(lines))
    return 0 if done.score == 100 else 1


def _overview() -> list[str]:
    lines = ["A file that works but for its bugs. Find them, mend them, submit.", ""]
    past = attempts.hunts()
    for number, level in LEVELS.items():
        done = [a for a in past if a.level == number and not a.runs]
        note = f"   {sum(a.score == 100 for a in done)} of {len(done)} solved" if done else ""
        lines.append(f"  {number}  {level.says}, {level.minutes} min{note}")
    return [
        *lines,
        "",
        f"{gpt2('hunt 05')} plants one in problem 05, {gpt2('hunt --level 3')} some in a whole training run.",
        f"How to go about it: {shown(hunted()[0].root / 'README.md')}",
    ]


def _history(past: list[Attempt]) -> list[str]:
    if not past:
        return [f"No hunt yet: {gpt2('hunt')} says what there is."]
    lines = []
    for a in past:
        when = datetime.fromtimestamp(a.begun).strftime("%Y-%m-%d %H:%M")
        problem = find(a.problem)
        name = heading(problem, a.level, a.seed) if a.level else problem.label
        unit = "" if a.level else " checks"
        hints = f", {a.hints} hint{'s' * (a.hints > 1)}" if a.hints else ""
        how = f"{a.passed} of {a.checks}{unit} in {minutes(a.used)} min   {a.how}{hints}"
        if a.runs:
            how = (
                f"running, {a.left / 60:.0f} min left"
                if a.left
                else "time is up; go on to see the debrief"
            )
        lines.append(f"{when}   {name:<44} {how}")
    return lines


def _goodbye(attempt: Attempt) -> list[str]:
    if attempt.runs:
        return [f"The clock goes on. Come back with: {gpt2('hunt')}"]
    what = "bugs mended" if attempt.level else "checks pass"
    lines = [
        f"{attempt.passed} of {attempt.checks} {what} in {minutes(attempt.used)} minutes. "
        f"{shown(attempt.folder)} keeps it."
    ]
    if attempt.level == 3:
        lines.append(f"What an interviewer would ask next: {gpt2('hunt --next')}")
    return lines
