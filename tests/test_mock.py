"""`gpt2 interview --mock`: a session from a seed, one clock over all of it, and a score sheet."""

from __future__ import annotations

import itertools
import json
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from common.cli import mock as command
from common.course.catalogue import find, hunted, problems
from common.hunting.composing import LEVELS
from common.learner import attempts, mocks
from common.learner.attempts import Attempt
from common.learner.mocks import Mock, Section
from common.practice import mocks as drawing
from common.practice.mocks import drawn
from common.practice.related import related

BEGUN = 1_795_000_000.0
SIX = find("interview-6")


def seed_of(wanted: Callable[[tuple[Section, ...]], bool]) -> int:
    """The first seed whose sections are as wanted."""
    return next(seed for seed in itertools.count() if wanted(drawn(seed)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(attempts, "FOLDER", tmp_path)
    return tmp_path


class Clock:
    """Stands in for the module `time` until it is told to go on."""

    def __init__(self) -> None:
        self.now = BEGUN

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    for module in (attempts, command):
        monkeypatch.setattr(module, "time", clock)
    return clock


# --- what is drawn ------------------------------------------------------------------------------


def test_a_seed_gives_one_session_and_others_give_others():
    assert drawn(7) == drawn(7)
    assert len({drawn(seed) for seed in range(40)}) > 25


def test_a_session_is_a_warm_up_a_main_problem_and_a_follow_up():
    interviews = [p for p in problems() if p.is_interview]
    following = {p.name for p in hunted() if not p.symptoms.exists()}
    mains = set()
    for seed in range(60):
        warm_up, main, last = drawn(seed)
        assert [s.role for s in (warm_up, main, last)] == ["warm-up", "main problem", "follow-up"]
        assert find(warm_up.problem).readme.difficulty == "Easy"
        assert warm_up.minutes <= 20
        assert main.level in (0, 2, 3)
        source = find(main.problem)
        if not main.level:
            assert source.readme.difficulty in ("Medium", "Hard")
        if main.level == 3:
            assert last.problem in following
        else:
            near = [p.name for p in related(source, interviews)]
            assert last.problem in near[:10]
        assert len({(s.level, s.problem) for s in (warm_up, main, last)}) == 3
        mains.add((main.level, main.problem))
    assert len(mains) > 10
    assert {level for level, _ in mains} == {0, 2, 3}


def test_without_a_seed_what_was_met_lately_stays_away_and_what_is_weak_comes(folder: Path):
    problem = find("interview-3")
    weak = Attempt(problem.name, BEGUN, 20, used=9.0, passed=1, checks=10, how="given up")
    others = [p for p in problems() if p.is_interview and p.name not in (problem.name, SIX.name)]
    solid = [
        Attempt(p.name, BEGUN + k, 20, used=9.0, passed=10, checks=10, how="submitted")
        for k, p in enumerate(others, 1)
    ]
    last = replace(solid[0], problem=SIX.name, begun=BEGUN + 99)
    met = {SIX.name, *(a.problem for a in solid[-5:])}
    drawn_ = [drawn(drawing.fresh_seed([weak, *solid, last])) for _ in range(12)]
    assert not any(section.problem in met for sections in drawn_ for section in sections)
    assert sum(sections[1].problem == problem.name for sections in drawn_) >= 4


# --- the record ---------------------------------------------------------------------------------


def a_mock(*sections: Section, minutes: float = 60) -> Mock:
    given = sections or (
        Section("warm-up", "interview-05-sampling", 15),
        Section("main problem", SIX.name, 25),
        Section("follow-up", "interview-13-beam-search", 20),
    )
    return mocks.begin(given, 7, minutes, BEGUN)


def sat(mock: Mock, clock: Clock, after: float, promises: tuple = (), **more) -> Mock:
    """The next section is worked at for so many minutes."""
    assert mock.at is not None
    attempt = attempts.begin(find(mock.sections[mock.at].problem), mock.left(clock.now) / 60)
    mock = mock.began(attempt)
    clock.now += 60 * after
    points = {"points": sum(p[1] for p in promises), "most": sum(p[2] for p in promises)}
    replace(attempt, **more).ended("submitted", 8, 10, promises=promises, **points)
    return mock


def test_one_clock_runs_over_all_and_stands_while_hidden_tests_run(folder: Path, clock: Clock):
    mock = sat(a_mock(), clock, 10)
    assert mock.left(clock.now) == 50 * 60
    clock.now += 30
    mock = replace(mock, judged=30.0).saved()
    assert mock.left(clock.now) == 50 * 60
    mock = sat(mock, clock, 20)
    second = mock.sections[1].attempt
    assert second
    assert (second.minutes, second.used) == (50, 20)
    assert mock.left(clock.now + 1e6) == 0
    assert mocks.history() == [mock]
    assert mocks.running() == mock
    assert mock.at == 2


def test_two_mocks_that_begin_in_one_second_have_a_folder_each(folder: Path):
    assert a_mock().folder != a_mock().folder
    assert len(mocks.history()) == 2


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"begun": "x"}', '{"sections": [{"odd": 1}]}'])
def test_a_record_that_cannot_be_read_is_left_out(folder: Path, text: str):
    mock = a_mock()
    (mock.folder / "mock.json").write_text(text)
    assert mocks.history() == []
    assert mocks.running() is None


def test_the_sheet_says_what_each_part_gave_and_what_to_practise(folder: Path, clock: Clock):
    mock = sat(a_mock(), clock, 12, (("Softmax", 3.0, 3.0), ("top_k", 5.5, 7.0)), hints=2)
    mock = sat(mock, clock, 40, (("encode", 1.0, 8.0), ("decode", 2.0, 2.0)))
    done = replace(mock, how="time was up", used=60.0)
    text = "\n".join(command.sheet(done))
    assert "Mock, seed 7: 11.5 of 30 points in 60.0 of 60 min, time was up." in text
    assert "1. Warm-up: Interview 05 Sampling from a language model" in text
    assert "8.5 of 10 points in 12.0 minutes (about 15 were meant), submitted, 2 hints" in text
    assert "5.5 of 7    top_k" in text
    assert "3. Follow-up: Interview 13 Beam search\n   0 of 10 points: it was not reached" in text
    order = text.partition("Practise next:")[2]
    places = [order.index(name) for name in ("Interview 13", "Interview 06", "Interview 05")]
    assert places == sorted(places)
    assert "above all 'encode'" in order


def test_where_nothing_was_missed_the_sheet_says_so(folder: Path, clock: Clock):
    mock = a_mock()
    for _ in mock.sections:
        mock = sat(mock, clock, 5, (("It works", 10.0, 10.0),), passed=10)
    whole = [replace(s.attempt, passed=10) for s in mock.sections if s.attempt]
    for attempt in whole:
        attempt.save()
    text = "\n".join(command.sheet(replace(mock, how="handed in", used=15.0)))
    assert "30 of 30 points" in text
    assert "Nothing was missed." in text


# --- in a terminal ------------------------------------------------------------------------------


def files(checkout: Path) -> list[Path]:
    """The candidate's files so far, the oldest first."""
    found = (checkout / "interviews").glob("*/*/solution.py")
    return sorted(
        found, key=lambda path: json.loads((path.parent / "attempt.json").read_text())["begun"]
    )


def record(checkout: Path) -> dict:
    (found,) = (checkout / "interviews" / "mock").glob("*/mock.json")
    return json.loads(found.read_text())


def test_a_mock_from_its_first_part_to_the_score_sheet(screen, checkout: Path, gpt2):
    quick = {
        "interview-05-sampling",
        SIX.name,
        "interview-13-beam-search",
        "interview-12-scalar-autograd",
    }
    seed = seed_of(lambda s: s[0].level == 1 and not s[1].level and {s[1].problem} < quick)
    sections = drawn(seed)
    terminal = screen("interview", "--mock", "--seed", str(seed))
    terminal.shows("1 of 3, warm-up, about 10 min: ")
    terminal.shows("WHAT IT IS MEANT TO DO")
    (first,) = files(checkout)
    first.write_text(find(sections[0].problem).reference_text)
    terminal.shows("no longer so")
    terminal.press("s")
    terminal.shows("Hand this part in, and go on with part 2? There is no way back to it.")
    terminal.press("y")
    terminal.shows("2 of 3, main problem, about")
    terminal.shows("TASK")
    os.kill(terminal.process.pid, signal.SIGKILL)
    terminal.process.wait()
    begun = record(checkout)["begun"]
    assert "Mock, seed " in gpt2("interview", "--mock", "--history").stdout
    terminal = screen("interview", "--mock")
    terminal.shows("2 of 3, main problem")
    assert record(checkout)["begun"] == begun
    terminal.press("qy")
    terminal.shows("3 of 3, follow-up")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.ends() == 130
    done = gpt2("interview", "--mock", "--submit")
    assert done.returncode == 1
    assert f"Mock, seed {seed}: 10 of 30 points in " in done.stdout
    assert "handed in." in done.stdout
    assert "1 of 1" in done.stdout
    assert f"Practise next:\n- {find(sections[1].problem).label}, above all " in done.stdout
    kept = checkout.glob("interviews/mock/*/sheet.txt")
    assert next(kept).read_text() == done.stdout
    assert f"seed {seed}: 10 of 30 points" in gpt2("interview", "--history").stdout
    assert "no mock is running" in gpt2("interview", "--mock", "--submit").stderr


def test_time_that_runs_out_in_a_part_ends_the_whole(screen, checkout: Path):
    seed = seed_of(lambda s: s[0].problem == "interview-05-sampling")
    terminal = screen("interview", "--mock", "--seed", str(seed), "--minutes", "0.1")
    terminal.shows(f"Mock, seed {seed}: 0 of 30 points in 0.1 of 0.1 min, time was up.")
    assert len(files(checkout)) == 1
    terminal.press("1")
    terminal.shows("Time was up after 0.1 of 0.1 minutes: 0 of 10 points.")
    terminal.press("3")
    terminal.shows("This part was not reached.")
    terminal.press("m")
    terminal.shows("1. Warm-up: Interview 05")
    terminal.press("q")
    assert terminal.ends() == 0
    assert record(checkout)["how"] == "time was up"


def test_after_a_hunt_of_level_3_its_file_goes_on(folder: Path, clock: Clock):
    seed = seed_of(lambda s: s[1].level == 3 and s[0].level == 1)
    sections = drawn(seed)
    mock = mocks.begin(sections, seed, 80, BEGUN)
    for _ in range(2):
        attempt = command._begun(mock, clock.now)
        mock = mock.began(attempt)
        (attempt.folder / "clean.py").write_text("clean = True\n")
        attempt.file.write_text("mine = True\n")
        clock.now += 60
        attempt.ended("submitted", 1, 1)
    last = command._begun(mock, clock.now)
    assert last.problem == sections[2].problem
    assert last.file.read_text() == "mine = True\n"
    assert last.minutes == 78
    assert LEVELS[3].source == sections[1].problem


def test_what_does_not_go_together_is_a_sentence(gpt2):
    for arguments, says in {
        ("--mock",): "needs a terminal",
        ("3", "--mock"): "is not about one problem",
        ("--seed", "7"): "--seed goes with --mock",
        ("--mock", "--minutes", "0"): "--minutes must be above 0",
        ("--mock", "--submit"): "no mock is running",
    }.items():
        done = gpt2("interview", *arguments)
        assert done.returncode in (1, 2), arguments
        assert says in done.stderr, arguments
    assert "No mock yet" in gpt2("interview", "--mock", "--history").stdout
