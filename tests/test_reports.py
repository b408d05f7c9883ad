"""The reports of a class: nothing that a student wrote is markup, formula or escape sequence in them."""

from __future__ import annotations

import base64
import csv
import io
import json
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from common.cli.grade import summary_lines, write
from common.course.catalogue import ROOT, find
from common.grading import formats
from common.grading.classes import Graded, Result
from common.grading.marks import Requirement, Scheme
from common.grading.page import report_html
from common.grading.similar import Pair
from common.grading.submissions import Submission
from common.grading.summary import Report, clean

FIVE = find(5)
EVIL = "=HYPERLINK(1)</script></pre><script>alert(1)</script><img src=x onerror='alert(1)'>\x1b[31m\u202e\0;=2+2\t=3"
CHECKS = ["test_core", "test_more"]
SCHEME = Scheme({FIVE.name: (
    Requirement("core", "It works", Fraction(6), ("test_core",)),
    Requirement("rest", "All else", Fraction(4), needs=("core",)),
)})  # fmt: skip


class Known:
    """A grader that knows the checks and grades nobody."""

    workers = 1
    checks: dict[str, list[str]] = {FIVE.name: CHECKS}  # noqa: RUF012
    free: dict[str, list[str]] = {FIVE.name: []}  # noqa: RUF012

    def grade(self, files: Mapping[str, str]) -> dict[str, Result]:
        raise NotImplementedError


def result(
    *passed: str, cause: str = "", flags: tuple[str, ...] = (), says: str = "All is said."
) -> dict[str, Any]:
    failed = [[c, "failed", [says]] for c in CHECKS if c not in passed]
    return {"passed": [*passed], "failed": failed, "cause": [cause] if cause else [], "lines": [says, ""],
            "failure": "", "flags": [*flags], "ends": ["signal SIGSEGV"] if flags else []}  # fmt: skip


def student(name: str, *results: dict[str, Any], **more: Any) -> Graded:
    asked = more.pop("asked", True)
    return Graded(
        Submission(name, Path(name), f"slug-{len(name)}", **more),
        dict.fromkeys([FIVE.name] * len(results), *results),
        asked,
    )


@pytest.fixture
def report() -> dict[str, Any]:
    graded = [
        student("ada", result(*CHECKS)),
        student("eve", result("test_core", cause="the mask is upside down")),
        student("john", result(cause="the mask is upside down")),
        student("michelle", result("test_more")),
        student("nobody"),
        student("waiting", asked=False),
        student(
            "refused",
            refused={FIVE.name: "is larger than 1 MiB"},
            notes=["x.py: is larger than 1 MiB"],
        ),
        student(
            EVIL,
            result("test_core", cause=EVIL, flags=(EVIL, "and another"), says=EVIL),
            notes=[EVIL],
        ),
    ]
    return Report([FIVE], SCHEME, Known(), [EVIL], None).of(
        graded, [Pair("ada", EVIL, 0.9, (FIVE.name,))]
    )


def test_points_states_and_flags(report: dict[str, Any]):
    own = {s["name"]: s["problems"]["05"] for s in report["students"]}
    assert [(p["state"], p["points"]) for p in own.values()] == [
        ("graded", 10), ("graded", 6), ("graded", 0), ("graded", 0),
        ("missing", 0), ("not graded yet", 0), ("refused", 0), ("graded", 6),
    ]  # fmt: skip
    assert own["michelle"]["requirements"][1]["waits"] == ["It works"]
    flags = report["students"][-1]["flags"]
    assert [f.split()[-1] for f in flags[1:]] == ["another", "SIGSEGV"]
    assert report["students"][-2]["flags"] == ["05: refused: is larger than 1 MiB"]


def test_what_most_students_miss_is_told_by_cause(report: dict[str, Any]):
    first, *others = report["missed"]
    assert (first["cause"], first["students"], first["of"]) == ("the mask is upside down", 2, 5)
    assert {m["students"] for m in others} == {1}
    assert "no known mistake: core" in {m["cause"] for m in others}


def test_the_terminal_shows_every_flag(report: dict[str, Any]):
    lines = summary_lines(report, Path("out"))
    assert len([line for line in lines if "look at" in line]) == 5
    assert "ada and " in lines[-1]
    assert "90%" in lines[-1]
    assert not [line for line in lines if "\x1b" in line or "\u202e" in line]


class Page(HTMLParser):
    """Tags and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_no_text_of_a_students_becomes_markup(report: dict[str, Any]):
    page = Page(report_html(report))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert all(v.startswith("#s") for n, v in page.attributes if n in ("src", "href")), (
        "nothing from outside"
    )
    assert "alert(1)" in page.text, "it is shown as text"


def test_a_page_of_nobody_and_of_one(report: dict[str, Any]):
    for count in (1, 2):
        assert "Grades" in report_html(
            report | {"students": report["students"][:count], "missed": [], "similar": []}
        )


def test_a_text_is_cleaned_of_what_a_terminal_would_obey():
    hidden = "\N{REPLACEMENT CHARACTER}"
    assert clean("a\x1b[2J\x1b]0;title\x07b\u202e\0\tc\nd") == f"ab{hidden}{hidden} c d"
    assert clean("\ud800x") == "?x"
    assert len(clean("x" * 10_000)) == 600


def test_a_spreadsheet_meets_no_formula_wherever_it_splits(report: dict[str, Any]):
    text = formats.grades_csv(report)
    rows = [*csv.reader(io.StringIO(text))]
    assert rows[0] == ["student", "05", "points", "of", "late", "look at"]
    assert rows[2][:4] == ["eve", "6.00", "6.00", "10.00"]
    assert {len(row) for row in rows} == {6}
    for separator in ",;\t":
        for row in csv.reader(io.StringIO(text), delimiter=separator):
            assert not any(
                cell.lstrip()[:1] in ("=", "+", "-", "@", "\r") for cell in row[:1] + row[4:]
            )
    assert [formats.cell(x) for x in ("=1", " +1", "-1", "@x", "x")] == [
        "'=1",
        "' +1",
        "'-1",
        "'@x",
        "x",
    ]


def test_feedback_shows_what_code_said_as_it_is(report: dict[str, Any]):
    text = formats.feedback_md(report, report["students"][-1])
    shown = [line for line in text.splitlines() if "script>" in line]
    assert shown
    assert all(
        line.startswith("    ") or "<script>" not in line.replace("\\<script\\>", "")
        for line in shown
    ), text
    assert "Not handed in." in formats.feedback_md(report, report["students"][4])
    assert "counts once this is earned: It works" in formats.feedback_md(
        report, report["students"][3]
    )


def test_gradescope_reads_its_results(report: dict[str, Any]):
    data = json.loads(formats.gradescope(report, report["students"][-1]))
    assert (data["score"], data["output_format"]) == (6, "text")
    (test,) = data["tests"]
    assert (test["score"], test["max_score"], test["status"], test["output_format"]) == (
        6,
        10,
        "failed",
        "text",
    )
    assert all(isinstance(test[key], str) for key in ("name", "number", "output", "visibility"))


def test_github_reads_its_results(report: dict[str, Any], tmp_path: Path):
    write(
        report | {"students": report["students"][1:2]}, tmp_path, ["github", "gradescope", "junit"]
    )
    data = json.loads(base64.b64decode((tmp_path / "github.b64").read_text()))
    assert (data["version"], data["max_score"]) == (1, 10)
    assert (data["tests"][0]["status"], data["tests"][0]["score"]) == ("fail", 6)
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert found == {
        "grades.csv",
        "report.json",
        "report.html",
        "github.json",
        "github.b64",
        "results.json",
        "junit.xml",
        "feedback/slug-3.md",
    }


def test_junit_is_xml(report: dict[str, Any]):
    suites = ElementTree.fromstring(formats.junit(report)).findall("testsuite")
    assert [s.attrib["failures"] for s in suites] == ["0"] + ["1"] * 7
    assert "alert(1)" in suites[-1].attrib["name"]


def test_the_recipes_use_this_command():
    for name in ("gradescope/run_autograder", "github/grade.yml"):
        text = (ROOT / "integrations" / name).read_text()
        assert "gpt2 grade" in text
        assert "--one" in text
        assert "--sandbox" not in text
    for script in ("setup.sh", "run_autograder"):
        subprocess.run(
            ["bash", "-n", str(ROOT / "integrations" / "gradescope" / script)], check=True
        )
