"""Grading a class: who handed in what, what it earns, and a run that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch
from common.catalogue import ROOT, find, problems
from common.grading.screen import doubtful
from common.grading.watching import suspicious
from torch import nn

from common import mistakes
from common.cli.grade import chosen
from common.errors import CourseError, UsageError
from common.grading import sandbox, wire
from common.grading.marks import earned, read_weights, rounded
from common.grading.submissions import answered, find_submissions, read, text_of

needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")
FIVE, ONE = find(5), find(1)


# --- submissions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("problems/05-causal-masking/solution.py", "05"),
        ("05-causal-masking/solution.py", "05"),
        ("05-causal-masking.py", "05"),
        ("05_causal_masking.py", "05"),
        ("solution_05.py", "05"),
        ("Solution-05.py", "05"),
        ("05.py", "05"),
        ("homework/solution_interview_01.py", "interview-01"),
        ("interview-01-gpt2-from-scratch/solution.py", "interview-01"),
    ],
)
def test_a_files_name_says_what_it_answers(path: str, key: str):
    found = answered(tuple(path.split("/")), problems())
    assert found
    assert found[0].key == key


@pytest.mark.parametrize(
    "path", ["solution.py", "notes_05.py", "05.txt", "105.py", "test_causal_masking.py"]
)
def test_other_names_answer_nothing(path: str):
    assert answered(tuple(path.split("/")), problems()) is None


def test_a_folder_of_students_and_one_students_folder(tmp_path: Path):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "solution_05.py").write_text("x = 1\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("")
    with zipfile.ZipFile(tmp_path / "ada.zip", "w") as archive:
        archive.writestr("work/05.py", "x = 2\n")
    found = [read(s) for s in find_submissions(tmp_path)]
    assert [s.name for s in found] == ["ada", "ada+"]
    assert [s.files[FIVE.name] for s in found] == [b"x = 1\n", b"x = 2\n"]
    (alone,) = find_submissions(tmp_path / "ada")
    assert read(alone).files == {FIVE.name: b"x = 1\n"}


def test_of_two_answers_the_plainest_counts_and_it_is_said(tmp_path: Path):
    (tmp_path / "05.py").write_text("x = 1\n")
    (tmp_path / FIVE.name).mkdir()
    (tmp_path / FIVE.name / "solution.py").write_text("x = 2\n")
    (one,) = find_submissions(tmp_path)
    assert read(one).files[FIVE.name] == b"x = 2\n"
    assert one.notes == ["more than one file answers 05"]


def test_nothing_to_grade_is_said(tmp_path: Path):
    with pytest.raises(UsageError, match="holds no folder"):
        find_submissions(tmp_path)
    with pytest.raises(UsageError, match="not a folder"):
        find_submissions(tmp_path / "absent")


def test_a_text_is_read_as_the_loader_reads_it():
    assert text_of("\ufeffx = 1\r\n".encode()) == ("x = 1\n", "")
    assert "line 2: not UTF-8" in text_of(b"x\n\xff")[1]
    assert "null byte" in text_of(b"\0")[1]


def test_the_list_of_problems():
    assert [p.key for p in chosen("01-03,10,interview-1")] == [
        "01",
        "02",
        "03",
        "10",
        "interview-01",
    ]
    with pytest.raises(UsageError):
        chosen("77-80")
    with pytest.raises(UsageError):
        chosen(" , ")


# --- points ---------------------------------------------------------------------------------------


def test_points_are_shared_by_test_and_then_by_case():
    shares = read_weights().shares(FIVE, ["test_a[1]", "test_a[2]", "test_b"])
    assert shares == {
        "test_a[1]": Fraction(1, 4),
        "test_a[2]": Fraction(1, 4),
        "test_b": Fraction(1, 2),
    }
    assert earned(shares, ["test_a[1]", "test_b"], []) == Fraction(3, 4)
    assert earned(shares, ["test_a[1]"], ["test_a[1]", "test_a[2]"]) == 0, (
        "what a skeleton passes earns nothing"
    )
    assert earned(shares, ["test_b", "not a check"], []) == Fraction(1, 2)
    assert rounded(Fraction(10, 3)) == 3.33
    assert rounded(Fraction(1, 200)) == 0.01


def test_weights_come_from_a_file_and_mistakes_in_it_are_named(tmp_path: Path):
    file = tmp_path / "weights.toml"
    file.write_text('[problems]\n"05" = 40\n[checks."05"]\ntest_a = 3\n')
    weights = read_weights(file)
    assert weights.points(FIVE) == 40
    assert weights.points(find(10)) == 20
    assert weights.points(ONE) == 10
    assert weights.shares(FIVE, ["test_a", "test_b"])["test_a"] == Fraction(3, 4)
    with pytest.raises(UsageError, match="name test_a"):
        weights.shares(FIVE, ["test_b"])
    for text, says in (("x = 1", "no x"), ('[problems]\n"05" = -1', "-1"), ("[", "weights.toml"),
                       ('[problems]\n"99" = 1', "no problem 99")):  # fmt: skip
        file.write_text(text)
        with pytest.raises(CourseError, match=says):
            read_weights(file)


# --- what travels ---------------------------------------------------------------------------------


def test_what_a_check_saw_travels_as_data():
    values: list[Any] = [
        None,
        True,
        3,
        -0.1,
        float("nan"),
        "x",
        (1, [2.5]),
        {"a": (1,)},
        torch.float32,
    ]
    values += [torch.ones(2, 0), torch.arange(6.0).reshape(2, 3), torch.tensor([True, False])]
    values += [torch.ones(3, dtype=torch.bfloat16)]
    for value in values:
        back = wire.unpack(json.loads(json.dumps(wire.pack(value))))
        assert type(back) is type(value)
        if isinstance(value, torch.Tensor):
            assert back.dtype == value.dtype
            assert torch.equal(back, value)
        else:
            assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "data",
    [{"T": ["torch.float32", [10**9], ""]}, {"T": ["torch.float32", [2], "AAAA"]}, {"T": []}, {"x": 1}, {"t": 3},
     {"f": "x"}, {"T": ["torch.float32", [-1, -1], "AAAA"]}, {"dtype": "os.system"}, {"d": [[{"l": []}, 1]]}],
)  # fmt: skip
def test_what_is_malformed_equals_nothing(data: object):
    value = wire.unpack(data)
    assert isinstance(value, wire.Opaque)
    assert value != value


def test_values_that_could_pass_for_others_are_seen():
    source = "class Text(str):\n    __eq__ = lambda *_: True\n    __hash__ = str.__hash__"
    space: dict[str, Any] = {"__name__": "solution_x"}
    exec(compile(source, "<solution_x>", "exec"), space)
    Text = space["Text"]
    tensor = torch.ones(2)
    assert not suspicious([1, "a", (tensor, nn.Parameter(tensor)), {"k": None}, torch.Size([1])])
    assert suspicious((1, Text("a")))
    assert suspicious(tensor.as_subclass(type("Own", (torch.Tensor,), {})))
    own = torch.ones(2)
    own.__dict__["any"] = lambda: False
    assert suspicious(own)


def test_no_right_answer_is_held_back():
    files = [
        *ROOT.glob("tests/right/*/*.py"),
        *ROOT.glob("solutions/*/solution.py"),
        *ROOT.glob("solutions/*/skeleton.py"),
    ]
    assert not {f: w for f in files if (w := doubtful(f.read_text()))}
    assert doubtful("sys._getframe(1).f_locals") == ["_getframe", "f_locals"]


# --- a class --------------------------------------------------------------------------------------


def grade(folder: Path, *more: str, start=subprocess.run, **options):
    """Run the command on folder/class, into folder/out."""
    command = [
        sys.executable,
        "-m",
        "common.cli",
        "grade",
        str(folder / "class"),
        "--out",
        str(folder / "out"),
        *more,
    ]
    return start(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def make(folder: Path, count: int) -> dict[str, int]:
    """A class that answers 05: right by turns with known mistakes; how many passes each should have."""
    from common.verdict import judge

    reference, known = FIVE.reference.read_text(), mistakes.known(FIVE)
    passes = {}
    for number in range(count):
        own = folder / "class" / f"s{number:02d}" / FIVE.name
        own.mkdir(parents=True)
        source = known[number % len(known)].apply(reference) if number % 2 else reference
        (own / "solution.py").write_text(source)
        outcomes = judge(FIVE, own / "solution.py").outcomes
        passes[f"s{number:02d}"] = sum(o.status == "passed" for o in outcomes)
    return passes


@needs_linux
def test_a_class_gets_what_the_checks_say_and_a_second_run_does_nothing(tmp_path: Path):
    expected = make(tmp_path, 6)
    done = grade(tmp_path, "--problems", "05")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {s["name"]: s["problems"]["05"]["passed"] for s in report["students"]} == expected
    assert [s["points"] for s in report["students"]][::2] == [10.0] * 3
    assert not any(s["flags"] for s in report["students"])
    assert all(s["problems"]["05"]["cause"] for s in report["students"][1::2])
    journal = tmp_path / "out" / ".work" / "journal.jsonl"
    before, pages = journal.read_bytes(), (tmp_path / "out" / "report.html").read_bytes()
    assert grade(tmp_path, "--problems", "05").returncode == 0
    assert journal.read_bytes() == before
    assert (tmp_path / "out" / "report.html").read_bytes() == pages
    (tmp_path / "class" / "s01" / FIVE.name / "solution.py").write_text(FIVE.reference.read_text())
    assert grade(tmp_path, "--problems", "05").returncode == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["students"][1]["points"] == 10
    assert journal.read_bytes().count(b"\n") == before.count(b"\n") + 1


@needs_linux
def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path: Path):
    expected = make(tmp_path, 12)
    journal = tmp_path / "out" / ".work" / "journal.jsonl"
    process = grade(tmp_path, "--problems", "05", "--workers", "1", start=subprocess.Popen)
    end = time.monotonic() + 120
    while not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with journal.open("ab") as file:
        file.write(
            b'{"student": "s11", "problem": "05-cau'
        )  # as a crash in the middle of a line leaves it
    before = journal.read_bytes().splitlines()[:-1]
    done = grade(tmp_path, "--problems", "05")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert {s["name"]: s["problems"]["05"]["passed"] for s in report["students"]} == expected
    lines = journal.read_bytes().splitlines()
    assert lines[: len(before)] == before
    students = [json.loads(line)["student"] for line in lines if line.endswith(b"}")]
    assert sorted(students) == sorted(expected), "each once"
    time.sleep(0.5)
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            command = Path(f"/proc/{name}/cmdline").read_bytes()
        except OSError:
            continue
        assert str(tmp_path).encode() not in command


@needs_linux
def test_two_runs_at_once_do_not_share_a_journal(tmp_path: Path):
    make(tmp_path, 1)
    import fcntl

    work = tmp_path / "out" / ".work"
    work.mkdir(parents=True)
    with (work / "journal.jsonl").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = grade(tmp_path, "--problems", "05")
    assert done.returncode == 1
    assert "another run" in done.stderr


@needs_linux
def test_the_report_says_whether_there_was_a_sandbox(tmp_path: Path):
    make(tmp_path, 1)
    assert grade(tmp_path, "--problems", "05", "--sandbox", "none").returncode == 0
    head = json.loads((tmp_path / "out" / "report.json").read_text())["head"]
    assert any("No sandbox: it was not asked for" in line for line in head)
    assert "No sandbox" in (tmp_path / "out" / "report.html").read_text()
    if not sandbox.bubblewrap()[0]:
        assert grade(tmp_path, "--problems", "05", "--sandbox", "bwrap").returncode == 1
