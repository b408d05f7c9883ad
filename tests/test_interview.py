"""`gpt2 interview` in a terminal: the clock, the examples, time-out, early submission, kill and resume."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from common.cli.interview_debrief import compared, side_by_side
from common.cli.markdown import plain
from common.course.catalogue import find, problems
from common.judging.collecting import checks_of
from common.judging.examples import try_examples
from common.judging.loading import execute, load
from common.judging.report import broken_code

BPE = find("interview-6")
INTERVIEWS = [p for p in problems() if p.is_interview]
each_interview = pytest.mark.parametrize("problem", INTERVIEWS, ids=lambda p: p.key)


def test_a_save_before_the_first_screen_is_not_missed(screen, checkout: Path, working_file):
    terminal = screen("interview", "6", "--minutes", "10")
    file = working_file(BPE.name)
    while file.read_bytes() != BPE.skeleton.encode():
        time.sleep(0.001)
    file.write_text("import os\nos._exit(3)\n")
    terminal.shows("Your code ended Python itself (exit code 3)")


def record(file: Path) -> dict:
    return json.loads((file.parent / "attempt.json").read_text())


def test_an_interview_submitted_early(screen, checkout: Path, gpt2, working_file):
    terminal = screen("interview", "6", "--minutes", "5")
    terminal.shows("4:5")
    terminal.shows("TASK")
    file = working_file(BPE.name)
    assert file.read_bytes() == BPE.skeleton.encode()
    file.write_text("def train_bpe(text, num_merges:\n")
    terminal.shows("The file does not run:")
    file.write_text(
        BPE.reference.read_text().replace("256 + ", "255 + ").replace(" + 256", " + 255")
    )
    shown = terminal.shows("FAILS Example 1.")
    assert "Cause" not in shown, "a candidate sees examples, not the hidden tests"
    terminal.press("h")
    terminal.shows("1 of 3 opened; the history will say so.")
    file.write_text(BPE.reference.read_text())
    terminal.press("e")
    terminal.shows("passes Example 1.")
    terminal.shows("passes Example 5.")
    terminal.press("sx")
    terminal.press("s")
    terminal.shows("Submit, and see the score?")
    terminal.press("y")
    terminal.shows("of 5 minutes: 10 of 10 points.")
    assert record(file)["how"] == "submitted"
    terminal.press("d")
    terminal.shows("--- yours +++ the reference")
    terminal.press("a")
    terminal.shows("THE APPROACH")
    terminal.press("q")
    assert terminal.ends() == 0
    assert terminal.settings() == terminal.before
    kept = {path.name for path in file.parent.iterdir()}
    assert kept == {
        "solution.py",
        "reference.py",
        "APPROACH.md",
        "attempt.json",
        "report.txt",
        "report.json",
    }
    history = gpt2("interview", "--history").stdout
    checks = len(checks_of(BPE))
    assert f"10 of 10 points ({checks} of {checks} checks) in " in history
    assert "submitted, 1 hint" in history
    assert "best 10 of 10 points, 1 try" in gpt2("interview").stdout
    assert (checkout / "problems" / BPE.name / "solution.py").read_bytes() == BPE.skeleton.encode()


def test_an_attempt_without_a_file_is_not_handed_in(screen, checkout: Path, working_file):
    terminal = screen("interview", "6", "--minutes", "5")
    terminal.shows("TASK")
    file = working_file(BPE.name)
    text = file.read_text()
    file.unlink()
    terminal.press("s")
    terminal.shows("Submit, and see the score?")
    terminal.press("y")
    terminal.shows("is missing: put your file there, and submit again.")
    assert "how" not in record(file) or not record(file)["how"]
    file.write_text(f"{text}\n# mine\n")
    terminal.shows("FAILS Example 1.")
    terminal.press("q")
    terminal.shows("Give up? The hidden tests run on what you have.")
    terminal.press("y")
    terminal.shows("Given up after")
    terminal.press("q")
    assert terminal.ends() == 0


def test_the_hidden_tests_run_when_time_is_up(screen, checkout: Path, working_file):
    terminal = screen("interview", "6", "--minutes", "0.08")
    file = working_file(BPE.name)
    wrong = BPE.reference.read_text().replace("num_merges", "num_merges", 1)
    file.write_text(wrong.replace('errors="replace"', 'errors="ignore"'))
    shown = terminal.shows("Time was up after 0.1 of 0.08 minutes:")
    assert "10 of 10 points" not in shown
    terminal.shows("FAILED")
    data = record(file)
    assert (data["how"], data["used"]) == ("time was up", 0.08)
    assert 0 < data["passed"] < data["checks"]
    terminal.press("q")
    assert terminal.ends() == 0


def test_killed_and_begun_again_it_goes_on_with_the_same_clock(
    screen, checkout: Path, gpt2, working_file
):
    first = screen("interview", "6", "--minutes", "10")
    first.shows("TASK")
    file = working_file(BPE.name)
    file.write_text("mine = 1\n")
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait()
    begun = record(file)["begun"]
    second = screen("interview", "6")
    second.shows("9:")
    assert file.read_text() == "mine = 1\n"
    assert record(file)["begun"] == begun
    second.process.send_signal(signal.SIGINT)
    assert second.ends() == 130
    assert "running" in gpt2("interview").stdout
    done = gpt2("interview", "6", "--submit")
    assert done.returncode == 1
    assert "Submitted after" in done.stdout
    assert gpt2("interview", "6", "--submit").returncode == 1


def test_an_endless_loop_is_told_and_costs_the_score(screen, checkout: Path, gpt2, working_file):
    terminal = screen("interview", "6", "--minutes", "10")
    terminal.shows("TASK")
    working_file(BPE.name).write_text("import os\nos._exit(3)\n")
    terminal.shows("Your code ended Python itself (exit code 3)")
    terminal.press("qy")
    terminal.shows("Given up after")
    terminal.press("q")
    assert terminal.ends() == 0
    assert "0 of 10 points (0 of 1 checks) in 0." in gpt2("interview", "--history").stdout


def test_what_is_asked_for_wrongly_is_told(gpt2):
    for arguments, says in {
        ("99",): "there is no problem interview-99; problems run from interview-01-",
        ("lorra",): "did you mean interview-14-lora?",
        ("nothing-like-it",): "problems run from interview-01-",
        ("6", "--minutes", "0"): "--minutes must be above 0",
        ("6", "--submit"): "no attempt at interview-06 is running",
        ("6",): "needs a terminal",
        ("full-model",): "is no interview problem",
        ("10-full-model",): "is no interview problem",
    }.items():
        done = gpt2("interview", *arguments)
        assert done.returncode in (1, 2), arguments
        assert says in done.stderr, arguments


@each_interview
def test_every_example_passes_on_the_reference_and_none_on_the_skeleton(problem):
    assert 3 <= len(problem.readme.examples) <= 6
    assert all(t.passes for t in try_examples(problem.readme, load(problem.reference)))
    tried = try_examples(problem.readme, execute(problem.skeleton, problem.solution))
    assert sum(t.passes for t in tried) <= 1
    assert all(t.facts for t in tried if not t.passes)
    assert [t.caption[:10] for t in tried] == [f"Example {k}." for k in range(1, len(tried) + 1)]


@each_interview
def test_an_interview_is_one_file(problem):
    assert "from common" not in problem.reference.read_text()


def test_where_there_is_no_room_for_two_columns_nothing_is_cut():
    long = "x = " + " + ".join(["one_long_name"] * 5)
    rows = compared(long, long + " + 1", 80)
    assert "one_long_name + 1" in "".join(row.lstrip("+-") for row in rows)
    assert "|" in compared("a = 1", "a = 2", 80)[2]


def test_side_by_side_marks_what_differs():
    rows = [row.split() for row in side_by_side("one\ntwo\nthree\n", "one\n2\nthree\nfour\n")[2:]]
    assert rows == [["one", "one"], ["two", "|", "2"], ["three", "three"], ["|", "four"]]


@each_interview
@pytest.mark.parametrize("width", [60, 80])
def test_a_task_fits_into_the_terminal_and_nothing_of_it_is_lost(problem, width):
    for text in (problem.readme.task, problem.explanation.read_text(encoding="utf-8")):
        lines = plain(text, width)
        assert max(map(len, lines)) <= width
        code = re.findall(r"^```.*?\n(.*?)^```", text, re.S | re.M)
        shown = "".join("".join(lines).split())
        for line in "".join(code).splitlines():
            assert "".join(line.split()) in shown


@pytest.mark.parametrize("room", [20, 33, 76])
def test_code_is_broken_behind_a_comma_or_a_space_and_every_character_kept(room):
    text = ">>> some_function(torch.tensor([1.0, 2.0]), keyword=[None, 3], other=an_expression * 7)"
    pieces = broken_code(text, room)
    assert "".join(pieces) == text
    assert max(map(len, pieces)) <= room
    if room == 76:
        assert [piece[-1] for piece in pieces[:-1]] == [" "]
    assert broken_code("x" * 50, 20) == ["x" * 20, "x" * 20, "x" * 10]


def test_markdown_in_a_terminal():
    text = "# Head\n\nA **bold** line\nthat goes on.\n\n- one\n  more\n- two\n\n```text\n  kept   as is\n```\n"
    lines = [
        "HEAD",
        "",
        "A bold line that goes on.",
        "",
        "- one more",
        "- two",
        "",
        "      kept   as is",
    ]
    assert plain(text) == lines
