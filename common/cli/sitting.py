"""What an interview, a hunt and a part of a mock have in common: a screen or none, a record, a last word."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from collections.abc import Callable

from common.cli import hunt_screen
from common.cli.hunt_screen import Hunting, heading
from common.cli.interview_screen import Interview, Part
from common.cli.screen import require_terminal
from common.course.catalogue import Problem, find, shown
from common.errors import CourseError, UsageError
from common.hunting.composing import Hunt, compose
from common.interviewing.asking import hidden_tests
from common.interviewing.debrief import finish
from common.interviewing.past import result, when
from common.judging.records import Request, Verdict
from common.learner import attempts
from common.learner.attempts import Attempt
from common.running.judge import Judge

_LONGEST = 600  # minutes


def add_arguments(parser: argparse.ArgumentParser, what: str) -> None:
    """Those of everything that has a clock.

    Args:
        what: "attempt", "hunt".
    """
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="the time limit (default: its own)"
    )
    parser.add_argument(
        "--new", action="store_true", help=f"begin anew; the {what} that was running is kept"
    )
    parser.add_argument(
        "--submit", action="store_true", help=f"end the {what} that is running, without its screen"
    )
    parser.add_argument(
        "--history", action="store_true", help=f"every {what} so far, with its score"
    )


def require_limit(limit: float | None) -> None:
    """Raise UsageError if --minutes is none that a clock can have."""
    if limit is not None and not 0 < limit <= _LONGEST:
        raise UsageError(f"--minutes must be above 0 and at most {_LONGEST}, not {limit:g}")


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


def begin_hunt(hunt: Hunt, limit: float) -> Attempt:
    """A new attempt at a hunt, with so many minutes."""
    planted = attempts.unreadable(m.name for m in hunt.planted)
    of = {"level": hunt.level, "seed": hunt.seed, "planted": planted}
    return attempts.begin(hunt.problem, limit, hunt.text, **of)


def begin_after(hunt: Attempt, problem: Problem, limit: float) -> Attempt:
    """A new attempt at what follows a hunt: with its file, or with the clean one where a bug is left in it."""
    # What is not mended would be judged again.
    place = hunt.file if hunt.whole else hunt.folder / "clean.py"
    return attempts.begin(problem, limit, place.read_text(encoding="utf-8"))


def on_a_screen(
    attempt: Attempt, *, fresh: bool, part: Part | None = None
) -> tuple[Interview, bool]:
    """Show an attempt until it is left: how it was left, and whether by Ctrl-C.

    Args:
        fresh: it began just now.
    """
    require_terminal()
    left: list[Interview] = []

    async def shown_on() -> None:
        if attempt.level:
            screen = Hunting(hunt_of(attempt), attempt, fresh=fresh, part=part)
        else:
            screen = Interview(find(attempt.problem), attempt, fresh=fresh, part=part)
        left.append(screen)
        await screen.screen.run(screen.run())

    try:
        asyncio.run(shown_on())
    except KeyboardInterrupt:
        if not left:
            raise
        return left[0], True
    return left[0], False


def seen_through(
    attempt: Attempt, *, fresh: bool, last_word: Callable[[Attempt], list[str]]
) -> int:
    """Show an attempt, and say how it stands when it was left; the exit code."""
    screen, interrupted = on_a_screen(attempt, fresh=fresh)
    print("\n".join(last_word(screen.attempt)))
    return 130 if interrupted else 0


def without_screen(attempt: Attempt) -> tuple[Attempt, list[str]]:
    """End an attempt and judge it: its record, and what became of it."""
    hunt = hunt_of(attempt) if attempt.level else None
    problem = find(attempt.problem)

    def asked(answers: list[Verdict]) -> list[Request]:
        if hunt:
            return hunt_screen.asked(hunt, attempt, answers)
        return [hidden_tests(problem, attempt)]

    async def judged() -> list[Verdict]:
        judge = Judge()
        try:
            answers: list[Verdict] = []
            while len(answers) < len(requests := asked(answers)):
                answers.append(await judge.judge(requests[len(answers)]))
            return answers
        finally:
            await judge.close()

    how = "time was up" if attempt.left == 0 else "submitted"
    answers = asyncio.run(judged())
    if hunt:
        return hunt_screen.finish(hunt, attempt, how, answers)
    return finish(problem, attempt, how, answers[0])


def submit(attempt: Attempt) -> int:
    """End an attempt, and print what became of it; the exit code."""
    done, lines = without_screen(attempt)
    print("\n".join(lines))
    return 0 if done.whole else 1


def name_of(attempt: Attempt) -> str:
    """What a list calls it."""
    problem = find(attempt.problem)
    return heading(problem, attempt.level, attempt.seed) if attempt.level else problem.label


def history(past: list[Attempt]) -> list[str]:
    """An attempt a line, or two where the terminal is narrow."""
    width = shutil.get_terminal_size((80, 24)).columns
    lines = []
    for each in past:
        first = f"{when(each.begun)}  {name_of(each)}"
        if len(first) + 3 + len(result(each)) <= width:
            lines.append(f"{first}   {result(each)}")
        else:
            lines += [first, f"      {result(each)}"]
    return lines
