"""gpt2 interview --mock: a session as it would be, part after part under one clock, and a score sheet."""

from __future__ import annotations

import time
from dataclasses import replace

from common.cli import sitting
from common.cli.interview_screen import Lines, Part
from common.cli.screen import require_terminal
from common.course.catalogue import find, shown
from common.errors import CourseError
from common.files import text, write_atomically
from common.hunting.composing import compose
from common.interviewing.debrief import minutes, points
from common.interviewing.past import when
from common.judging.report import wrapped
from common.learner import attempts, mocks
from common.learner.attempts import Attempt
from common.learner.mocks import Mock, Section
from common.practice import mocks as drawing
from common.practice import weak
from common.shell import gpt2

_AGAIN = "interview --mock"


def run_mock(seed: int | None, limit: float | None, *, new: bool, submit: bool) -> int:
    """Begin a mock, or go on with the one that is running."""
    mock = None if new else mocks.running()
    if submit:
        if not mock:
            raise CourseError("no mock is running")
        return _without_screen(mock)
    require_terminal()
    if mock is None:
        past = sorted([*attempts.history(), *attempts.hunts()], key=lambda attempt: attempt.begun)
        seed = drawing.fresh_seed(past) if seed is None else seed
        sections = drawing.drawn(seed)
        usual = sum(section.minutes for section in sections)
        mock = mocks.begin(sections, seed, limit or usual, time.time())
    return _sat_through(mock)


def history() -> list[str]:
    """The mocks, a line each."""
    return [f"{when(m.begun)}  Mock, seed {m.seed}: {_state(m)}" for m in mocks.history()]


def _state(mock: Mock) -> str:
    if mock.runs:
        left = mock.left(time.time()) / 60
        return (
            f"running, {left:.0f} min left" if left else "time is up; go on to see the score sheet"
        )
    return f"{mock.score} in {minutes(mock.used)} of {mock.minutes:g} min, {mock.how}"


def _sat_through(mock: Mock) -> int:
    """Part after part, until it is over or the screen is left."""
    while mock.runs:
        now = time.time()
        if mock.at is None or (not mock.sections[mock.at].attempt and not mock.left(now)):
            mock = _ended(mock, "time was up" if not mock.left(now) else "handed in", now)
            break
        attempt = mock.sections[mock.at].attempt
        fresh = attempt is None
        if attempt is None:
            attempt = _begun(mock, now)
            mock = mock.began(attempt)
        state = [mock]
        screen, interrupted = sitting.on_a_screen(
            attempt, fresh=fresh, part=_part(state, attempt, now)
        )
        mock = state[0]
        if interrupted or screen.attempt.runs:
            left = mock.left(time.time()) / 60
            print(f"The clock goes on: {left:.0f} of {mock.minutes:g} minutes are left.")
            print(f"Come back with: {gpt2(_AGAIN)}")
            return 130 if interrupted else 0
    print("\n".join([*_score(mock), f"{shown(mock.folder / 'sheet.txt')} says more."]))
    return 0


def _part(state: list[Mock], attempt: Attempt, now: float) -> Part:
    """What the screen of one part knows of the whole; `state` is the record, which a part that is over changes."""
    mock = state[0]
    number = mock.at or 0
    section = mock.sections[number]
    last = number == len(mock.sections) - 1

    def over(done: Attempt, stopped: float) -> dict[str, Lines] | None:
        end = time.time()
        whole = replace(state[0], judged=state[0].judged + end - stopped)
        in_time = done.how != "time was up" and whole.left(end) > 0
        if in_time and not last:
            state[0] = whole.saved()
            return None
        state[0] = whole = _ended(whole, "handed in" if in_time else "time was up", end)
        return _sheets(whole)

    goes_on = "see the score sheet" if last else f"go on with part {number + 2}"
    return Part(
        lead=f"{number + 1} of {len(mock.sections)}, {section.role}, about {section.minutes} min:  ",
        before=mock.gone(attempt.begun),
        asks=f"Hand this part in, and {goes_on}? There is no way back to it.",
        also="m score sheet  1 2 3 a part's debrief  ",
        over=over,
    )


def _sheets(mock: Mock) -> dict[str, Lines]:
    """The score sheet, and each part's own debrief, by their keys."""

    def told(said: list[str]) -> Lines:
        return lambda width: [piece for line in said for piece in wrapped(line, width)]

    pages = {"m": told(sheet(mock))}
    for number, section in enumerate(mock.sections, 1):
        attempt = section.attempt
        said = text(attempt.folder / "report.txt").splitlines() if attempt else []
        pages[str(number)] = told(said or ["This part was not reached."])
    return pages


def _begun(mock: Mock, now: float) -> Attempt:
    """The attempt of the section that is next, with what is left of the clock."""
    section = mock.sections[mock.at or 0]
    left = round(mock.left(now) / 60, 1)
    problem = find(section.problem)
    if section.level:
        one = problem if section.level == 1 else None
        return sitting.begin_hunt(compose(section.level, section.seed, one), left)
    if problem.is_hunt:
        before = mock.sections[(mock.at or 0) - 1].attempt
        assert before
        return sitting.begin_after(before, problem, left)
    return attempts.begin(problem, left)


def _ended(mock: Mock, how: str, now: float) -> Mock:
    """The record of a mock that is over, with its sheet beside it."""
    done = replace(mock, how=how, used=round(mock.gone(now) / 60, 2)).saved()
    write_atomically(done.folder / "sheet.txt", "\n".join(sheet(done)) + "\n")
    return done


def _without_screen(mock: Mock) -> int:
    """Hand in what is begun, and print the score sheet."""
    now = time.time()
    how = "handed in" if mock.left(now) else "time was up"
    attempt = mock.sections[mock.at].attempt if mock.at is not None else None
    if attempt:
        sitting.without_screen(attempt)
    done = _ended(mock, how, now)
    print("\n".join(sheet(done)))
    return 0 if done.points == 10 * len(done.sections) else 1


def _score(mock: Mock) -> list[str]:
    return [f"Mock, seed {mock.seed}: {_state(mock)}."]


def sheet(mock: Mock) -> list[str]:
    """The score sheet: each part, its minutes, its points by promise, and what to practise next."""
    lines = [*_score(mock), ""]
    for number, section in enumerate(mock.sections, 1):
        lines += [
            f"{number}. {section.role.capitalize()}: {_title(section)}",
            *_part_lines(section),
            "",
        ]
    following = _to_practise(mock)
    return [*lines, "Practise next:", *(f"- {line}" for line in following)]


def _title(section: Section) -> str:
    attempt = section.attempt
    return sitting.name_of(attempt) if attempt else find(section.problem).label


def _part_lines(section: Section) -> list[str]:
    attempt = section.attempt
    if attempt is None or attempt.runs:
        return ["   0 of 10 points: it was not reached"]
    hints = f", {attempt.hints} hint{'s' * (attempt.hints > 1)}" if attempt.hints else ""
    taken = f"{minutes(attempt.used)} minutes (about {section.minutes} were meant)"
    first = f"   {10 * attempt.share:.4g} of 10 points in {taken}, {attempt.how}{hints}"
    return [first, *("  " + line for line in points(attempt))]


def _to_practise(mock: Mock) -> list[str]:
    """What lost most first, a line each."""
    said: list[tuple[float, str]] = []
    for section in mock.sections:
        attempt = section.attempt
        if attempt is None or attempt.runs:
            problem = find(section.problem)
            command = weak.command_for(problem) if problem.is_interview else "hunt --next"
            said.append((0.0, f"{problem.label}, which was not reached: {gpt2(command)}"))
            continue
        command = gpt2(weak.command_of(attempt))
        found = weak.of_attempt(attempt)
        missed = [title for title, got, most in attempt.promises if got < most]
        if missed and not attempt.level:
            said.append((attempt.share, f"{_title(section)}, above all {missed[0]!r}: {command}"))
        elif found.amount:
            said.append((attempt.share, f"{_title(section)} ({found.why}): {command}"))
    said.sort(key=lambda each: each[0])
    return [line for _, line in said] or [f"Nothing was missed. Another one: {gpt2(_AGAIN)}"]
