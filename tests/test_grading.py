"""Grading without a student's process: who handed in what, what it earns, what is kept, what may be told."""

from __future__ import annotations

import datetime
import json
import os
import sys
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest

from common.cli.grade import chosen
from common.course.catalogue import Problem, find, problems
from common.course.mistakes import Mistake, known
from common.errors import CourseError, UsageError
from common.grading import table
from common.grading.classes import grade_class, rehearse
from common.grading.journal import Journal, alone_in
from common.grading.marks import Requirement, Scheme, read_scheme, rounded
from common.grading.similar import pairs
from common.grading.submissions import Submission, find_submissions, read
from common.judging.collecting import checks_of

FIVE, SIX = find(5), find(6)
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="grading needs Linux")

# --- submissions ----------------------------------------------------------------------------------


def hand_in(place: Path, files: dict[str, str]) -> Submission:
    """A student's folder, read."""
    for name, text in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    (one,) = find_submissions(place, one=True)
    return read(one, problems())


@needs_linux
def test_a_files_name_says_what_it_answers(tmp_path: Path):
    names = ["problems/01-embeddings/solution.py", "work/02-attention-basics/solution.py", "03-scaled-attention.py",
             "04_multi_head_attention.py", "solution_05.py", "Solution-06.py", "07.py", "problem_08.py",
             "solution_interview_01.py", "interview-02-train-gpt2/solution.py"]  # fmt: skip
    others = [
        "solution.py",
        "notes_09.py",
        "10.txt",
        "111.py",
        "tests/12.py",
        "solutions/13-tokenizer/solution.py",
    ]
    found = hand_in(tmp_path / "ada", {name: name for name in names + others}).files
    assert dict(zip((find(name).key for name in found), found.values(), strict=True)) == dict(
        zip([f"{n:02}" for n in range(1, 9)] + ["interview-01", "interview-02"], names, strict=True)
    )


@needs_linux
def test_of_two_answers_the_plainest_counts_and_it_is_said(tmp_path: Path):
    one = hand_in(tmp_path / "ada", {"05.py": "x = 1\n", f"{FIVE.name}/solution.py": "x = 2\n"})
    assert one.files == {FIVE.name: "x = 2\n"}
    assert "more than one file answers" in one.notes[0]


@needs_linux
def test_folders_and_archives_of_a_class(tmp_path: Path):
    hand_in(tmp_path / "ada", {"05.py": "x = 1\n"})
    with zipfile.ZipFile(tmp_path / "Ada.zip", "w") as archive:
        archive.writestr("work/05.py", "x = 2\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "nobody").mkdir()
    found = [read(s, problems()) for s in find_submissions(tmp_path)]
    assert [(s.name, s.files.get(FIVE.name)) for s in found] == [
        ("Ada", "x = 2\n"),
        ("ada", "x = 1\n"),
        ("nobody", None),
    ]
    assert len({s.slug.lower() for s in found}) == 3


def test_what_is_no_class_is_said(tmp_path: Path):
    with pytest.raises(UsageError, match="--one"):
        find_submissions(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        find_submissions(tmp_path / "absent")
    with pytest.raises(UsageError, match="not there"):
        find_submissions(tmp_path / "absent", one=True)


def test_the_list_of_problems():
    assert [p.key for p in chosen("01-03,10,interview-1")] == [
        "01",
        "02",
        "03",
        "10",
        "interview-01",
    ]
    for text in ("77-80", " , ", "05-x"):
        with pytest.raises(UsageError):
            chosen(text)


# --- points ---------------------------------------------------------------------------------------

CHECKS = ["test_core[1]", "test_core[2]", "test_more", "test_extra_a", "test_extra_b", "test_other"]
SCHEME = Scheme({FIVE.name: (
    Requirement("core", "It works", Fraction(6), ("test_core",)),
    Requirement("more", "It works well", Fraction(2), ("test_more",), needs=("core",)),
    Requirement("extra", "Manners", Fraction(1), ("test_extra*",), needs=("core",), partly=True),
    Requirement("rest", "All else", Fraction(1), needs=("more",)),
)})  # fmt: skip


@pytest.mark.parametrize(
    ("passed", "points"),
    [
        (CHECKS, [6, 2, 1, 1]),
        (CHECKS[1:], [0, 0, 0, 0]),  # one case of the core is missed, and all else needs it
        ([c for c in CHECKS if c != "test_extra_b"], [6, 2, Fraction(1, 2), 1]),
        ([c for c in CHECKS if c != "test_more"], [6, 0, 1, 0]),
        (
            ["test_core[1]", "test_core[2]"],
            [0, 0, 0, 0],
        ),  # what the skeleton passes, and nothing else
        (["test_core[1]", "test_core[2]", "test_other", "not_a_check"], [6, 0, 0, 0]),
    ],
)
def test_points_are_earned_by_requirement(passed: list[str], points: list[Any]):
    earned = SCHEME.earned(FIVE, CHECKS, passed, free=["test_core[1]", "test_core[2]"])
    assert [e.points for e in earned] == points


def test_points_are_rounded_to_hundredths():
    assert (rounded(Fraction(10, 3)), rounded(Fraction(1, 200))) == (3.33, 0.01)


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_every_requirement_names_checks_that_are_there(problem):
    scheme = read_scheme()
    names = [c.name for c in checks_of(problem)]
    assert sum(e.points for e in scheme.earned(problem, names, names)) == scheme.points(problem) > 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", "should hold requirements"),
        ("[", "own.toml"),
        ('["99".a]\npoints = 1\ntests = ["t"]', "99"),
        ('["05".a]\npoints = -1\ntests = ["t"]', "-1"),
        ('["05".a]\npoints = 1', "has no tests"),
        ('["05".a]\npoints = 1\ntests = "t"', "list of names"),
        ('["05".a]\npoints = 1\ntests = ["t"]\nneeds = ["b"]', "which is not there"),
        ('["05".a]\npoints = 1\nweight = 3', "weight"),
        (
            '["05".a]\npoints=1\ntests=["t"]\nneeds=["rest"]\n["05".rest]\npoints=1\nneeds=["a"]',
            "needs itself",
        ),
    ],
)
def test_a_mistake_in_a_file_of_requirements_is_named(tmp_path: Path, text: str, says: str):
    (tmp_path / "own.toml").write_text(text)
    with pytest.raises(CourseError, match=says):
        read_scheme(tmp_path / "own.toml")


def test_a_file_of_ones_own_replaces_the_problems_that_it_names(tmp_path: Path):
    (tmp_path / "own.toml").write_text('["05".rest]\npoints = 40')
    scheme = read_scheme(tmp_path / "own.toml")
    assert (scheme.points(FIVE), scheme.points(SIX)) == (40, read_scheme().points(SIX))
    (tmp_path / "own.toml").write_text('["05".a]\npoints = 40\ntests = ["test_gone*"]')
    with pytest.raises(UsageError, match="test_gone"):
        read_scheme(tmp_path / "own.toml").earned(FIVE, ["test_x"], [])


def test_a_problem_without_requirements_asks_for_all_of_its_checks():
    new = Problem("60-our-own")
    scheme, checks = read_scheme(), ["test_a[1]", "test_a[2]", "test_b"]
    assert scheme.points(new) == 10
    (all_of_it,), (most_of_it,) = (scheme.earned(new, checks, checks[:n]) for n in (3, 2))
    assert (all_of_it.points, all_of_it.requirement.title) == (10, "It works")
    assert (most_of_it.points, most_of_it.missed) == (0, ("test_b",))


def test_the_table_of_mistakes_says_what_some_of_them_earn():
    def drawn(each: Problem | Mistake) -> int:
        return crc32(each.name.encode())  # so that a new entry leaves most draws as they are

    kept = table.written()
    for problem in sorted((p for p in problems() if p.key <= "12"), key=drawn)[:4]:
        mistake = min(known(problem), key=drawn)
        found = table.step(table.share(read_scheme(), problem, mistake))
        assert kept[problem.label].get(table.plain(mistake)) == found, (
            f"{problem.key} {mistake.name}: make grading-table"
        )


def test_the_table_is_read_as_it_was_written(tmp_path: Path, monkeypatch):
    made = {
        "05 Causal masking": {"a": "nothing", "b: c": "more", "d, e": "nothing"},
        "06 Feed-forward": {},
    }
    monkeypatch.setattr(table, "FILE", tmp_path / "table.md")
    table.FILE.write_text(table.text(made))
    assert table.written() == made


# --- the journal ----------------------------------------------------------------------------------


def test_a_result_is_kept_under_all_that_it_follows_from(tmp_path: Path):
    journal = Journal(tmp_path, "options")
    key = journal.key(FIVE, "text")
    journal.add({key: {"passed": ["x"]}})
    again = Journal(tmp_path, "options")
    assert again.known == {key: {"passed": ["x"]}}
    assert again.secret == journal.secret
    others = [again.key(FIVE, "text "), again.key(SIX, "text"), Journal(tmp_path, "other").key(FIVE, "text"),
              Journal(tmp_path / "new", "options").key(FIVE, "text")]  # fmt: skip
    assert key not in others
    assert len({*others}) == 4


def test_a_line_that_was_cut_off_spoils_no_other(tmp_path: Path):
    journal = Journal(tmp_path, "")
    journal.add({"a": {"n": 1}})
    for cut in (b'{"key": "b", "resu', b'\n[1]\n"x"\n\xff\xfe{'):
        with journal.file.open("ab") as file:
            file.write(cut)
        journal = Journal(tmp_path, "")
        journal.add({"c": {"n": 3}})
        assert Journal(tmp_path, "").known == {"a": {"n": 1}, "c": {"n": 3}}


@needs_linux
def test_two_runs_at_once_do_not_share_a_folder(tmp_path: Path):
    with (
        alone_in(tmp_path / "out" / ".work"),
        pytest.raises(CourseError, match="another run"),
        alone_in(tmp_path / "out" / ".work"),
    ):
        pass


# --- a class, with a grader that is no process ----------------------------------------------------


class Fake:
    """Passes the checks that a text names."""

    workers, checks, free = 2, {FIVE.name: CHECKS}, {FIVE.name: []}

    def __init__(self) -> None:
        self.asked: list[str] = []

    def grade(self, files: Any) -> dict[str, Any]:
        (text,) = files.values()
        self.asked.append(text)
        if text == "broken":
            raise RuntimeError("this grader fails")
        passed = text.split()
        failed = [[c, "failed", ["no"]] for c in CHECKS if c not in passed]
        return {
            FIVE.name: {
                "passed": passed,
                "failed": failed,
                "cause": [],
                "lines": [],
                "failure": "",
                "flags": [],
                "ends": [],
            }
        }


@pytest.fixture
def submissions(tmp_path: Path) -> list[Submission]:
    for name, text in {"ada": " ".join(CHECKS), "bob": "broken", "eve": "test_more"}.items():
        hand_in(tmp_path / "class" / name, {"05.py": text})
    return find_submissions(tmp_path / "class")


@needs_linux
def test_one_student_is_one_result_whatever_goes_wrong(tmp_path: Path, submissions):
    grader, journal, shown = Fake(), Journal(tmp_path / "work", ""), []
    graded = grade_class(
        grader,
        [FIVE],
        submissions,
        journal,
        on_progress=lambda done, total: shown.append((done, total)),
    )
    ada, bob, eve = (g.results[FIVE.name] for g in graded)
    assert (len(ada["passed"]), eve["passed"]) == (6, ["test_more"])
    assert "this grader fails" in bob["flags"][0]
    assert shown == [(1, 3), (2, 3), (3, 3)]
    assert len(journal.known) == 2, "what failed through no fault of the student's is not kept"


@needs_linux
def test_what_is_known_is_not_asked_again_unless_somebody_wants_it(tmp_path: Path, submissions):
    journal = Journal(tmp_path / "work", "")
    grade_class(Fake(), [FIVE], submissions, journal)
    grader = Fake()
    grade_class(grader, [FIVE], submissions, journal)
    assert grader.asked == ["broken"]
    grader.asked.clear()
    graded = grade_class(grader, [FIVE], submissions, journal, anew=lambda s, p: s.name == "eve")
    assert grader.asked == ["test_more"]
    assert [g.asked for g in graded] == [False, False, True]
    (submissions[0].path / "05.py").write_text("test_other")
    grade_class(grader, [FIVE], submissions, Journal(tmp_path / "work", ""))
    assert grader.asked[1:] == ["test_other", "broken"] or grader.asked[1:] == [
        "broken",
        "test_other",
    ]


def test_no_student_pays_for_a_reference_that_fails(tmp_path: Path):
    grader = Fake()
    grader.grade = lambda files: {FIVE.name: Fake().grade({"": "test_more"})[FIVE.name]}
    with pytest.raises(CourseError, match="reference of 05-causal-masking does not earn all"):
        rehearse(grader, [FIVE], SCHEME, Journal(tmp_path, ""))
    grader.grade = lambda files: {FIVE.name: Fake().grade({"": " ".join(CHECKS)})[FIVE.name]}
    with pytest.raises(CourseError, match="untouched skeleton of 05-causal-masking earns"):
        rehearse(grader, [FIVE], SCHEME, Journal(tmp_path / "new", ""))


# --- who looks like whom --------------------------------------------------------------------------


def renamed(text: str) -> str:
    """The same with other names, other comments and other spaces."""
    for old, new in {
        "self.c_attn": "self.a",
        "scores": "s1",
        "batch": "b0",
        "weights": "w",
        "seq_len": "length",
    }.items():
        text = text.replace(old, new)
    return "\n\n".join(
        f"{line}  # mine" if line.strip() and "\\" not in line and '"""' not in line else line
        for line in text.split("\n")
    )


def test_a_copy_is_found_through_other_names_and_what_everybody_has_is_not():
    texts = [
        p.read_text()
        for p in sorted((Path(__file__).parent / "right" / "05-causal-masking").glob("*.py"))
    ]
    one, other = sorted(texts, key=len)[-2:]
    files = {
        "ada": one,
        "bob": renamed(one),
        "eve": other,
        "sam": FIVE.reference_text,
        "tom": FIVE.reference_text,
    }
    found = pairs(
        {n: {FIVE.name: t} for n, t in files.items()},
        {FIVE.name: [FIVE.reference_text, FIVE.skeleton]},
    )
    assert [(p.one, p.other) for p in found] == [("ada", "bob")]
    assert found[0].share > 0.6
    assert pairs({"a": {FIVE.name: "def (:"}, "b": {FIVE.name: "'''"}}, {}) == []


# --- --due ----------------------------------------------------------------------------------------


@needs_linux
def test_what_was_changed_after_it_was_due_is_late(tmp_path: Path):
    from common.grading.classes import Graded
    from common.grading.summary import Report

    due = datetime.datetime(2026, 3, 1, 18, 0).astimezone()
    students = []
    for name, hours in (("early", -1), ("late", 1)):
        hand_in(tmp_path / name, {"05.py": "x"})
        when = due.timestamp() + 3600 * hours
        os.utime(tmp_path / name / "05.py", (when, when))
        students.append(Graded(read(find_submissions(tmp_path / name, one=True)[0], [FIVE]), {}))
    report = Report([FIVE], SCHEME, Fake(), [], due).of(students)
    early, late = report["students"]
    assert (early["late"], early["flags"]) == ("", [])
    assert "1:00:00 after it was due" in late["late"]
    assert late["flags"] == [f"handed in late: {late['late']}"]
    assert late["problems"]["05"]["state"] == "missing"
    json.dumps(report)
