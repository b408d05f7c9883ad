"""The reports of a class: nothing that a student wrote is markup, formula or escape sequence in them."""

from __future__ import annotations

import base64
import csv
import io
import json
import shutil
import subprocess
import time
import urllib.request
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from common.catalogue import ROOT

from common.cli.grade import write
from common.grading import formats
from common.grading.page import report_html
from common.grading.summary import clean, slug

OWNED = "document.title='owned'"
EVIL = f'=HYPERLINK(1)</script></pre><script>{OWNED}</script><img src=x onerror="{OWNED}">'


def problem_of(
    points: float, *lines: str, state: str = "graded", flags: tuple[str, ...] = ()
) -> dict[str, Any]:
    return {
        "state": state, "points": points, "of": 10.0, "held_back": 0.0, "passed": int(points), "checks": 10,
        "failed": [], "not_run": 0, "cause": [], "lines": [*lines], "flags": [*flags],
    }  # fmt: skip


def make(students: int = 3) -> dict[str, Any]:
    """A report with a student whose every text is an attack."""
    everybody = [
        {
            "name": f"student {n}", "file": f"student-{n}", "points": float(n), "flags": [], "notes": [],
            "problems": {"05": problem_of(float(n), "All is said.", state="graded" if n else "missing")},
        }
        for n in range(students)
    ]  # fmt: skip
    evil = clean(EVIL + "\x1b[31m\u202e\0")
    everybody.append(
        {
            "name": evil, "file": "evil", "points": 5.5, "flags": [f"05: {evil}"], "notes": [evil],
            "problems": {"05": problem_of(5.5, evil, f"    {evil}", flags=(evil,))},
        }
    )  # fmt: skip
    missed = {
        "problem": "05",
        "check": evil,
        "sentence": evil,
        "missed": 1,
        "of": 2,
        "causes": [[evil, 1]],
    }
    problem = {
        "key": "05",
        "name": "05-causal-masking",
        "title": "Causal masking",
        "points": 10.0,
        "checks": {},
    }
    return {
        "version": 1,
        "head": [evil],
        "problems": [problem],
        "of": 10.0,
        "students": everybody,
        "missed": [missed],
    }


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


def test_no_text_of_a_students_becomes_markup():
    page = Page(report_html(make()))
    assert page.tags.count("script") == 1
    assert "img" not in page.tags
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    links = [value for name, value in page.attributes if name in ("src", "href")]
    assert all(link.startswith("#s") for link in links), "nothing from outside"
    assert "document.title='owned'" in page.text, "it is shown as text"


def test_a_text_is_cleaned_of_what_a_terminal_would_obey():
    assert (
        clean("a\x1b[2J\x1b]0;title\x07b\u202e\0\tc\nd")
        == "ab\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} c d"
    )
    assert clean("\ud800x") == "?x"
    assert len(clean("x" * 10_000)) == 600


def test_names_of_files_are_plain_and_nobody_elses():
    taken: set[str] = set()
    names = [
        slug(n, taken) for n in ("ada", "Ada", "../../etc/passwd", "", "a b", "a_b", "..", "é")
    ]
    assert len({n.lower() for n in names}) == len(names)
    assert names[0] == "ada"
    assert all("/" not in n and not n.startswith(".") for n in names)


def test_a_spreadsheet_meets_no_formula():
    rows = [*csv.reader(io.StringIO(formats.grades_csv(make())))]
    assert rows[0] == ["student", "05", "points", "of", "look at"]
    assert rows[2][:4] == ["student 1", "1.00", "1.00", "10.00"]
    for row in rows[1:]:
        assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r") for cell in row)
    assert [formats.cell(x) for x in ("=1", "+1", "-1", "@x", "x")] == [
        "'=1",
        "'+1",
        "'-1",
        "'@x",
        "x",
    ]


def test_feedback_shows_what_code_said_as_it_is():
    report = make()
    text = formats.feedback_md(report, report["students"][-1])
    shown = [line for line in text.splitlines() if "<script>" in line]
    assert shown
    assert all(line.startswith("    ") or "\\<script\\>" in line for line in shown), text
    assert "Not handed in." in formats.feedback_md(report, report["students"][0])


def test_gradescope_reads_its_results():
    report = make()
    data = json.loads(formats.gradescope(report, report["students"][-1]))
    assert data["score"] == 5.5
    assert data["output_format"] == "text"
    (test,) = data["tests"]
    assert (test["score"], test["max_score"], test["status"], test["output_format"]) == (
        5.5,
        10.0,
        "failed",
        "text",
    )
    assert all(isinstance(test[key], str) for key in ("name", "number", "output", "visibility"))


def test_github_reads_its_results(tmp_path: Path):
    report = make(0)
    write(report, tmp_path, ["github", "gradescope", "junit"])
    data = json.loads(base64.b64decode((tmp_path / "github.b64").read_text()))
    assert data["version"] == 1
    assert data["max_score"] == 10.0
    assert data["tests"][0]["status"] == "fail"
    assert data["tests"][0]["score"] == 5.5
    assert (tmp_path / "results.json").is_file()
    assert (tmp_path / "feedback" / "evil.md").is_file()


def test_junit_is_xml():
    tree = ElementTree.fromstring(formats.junit(make()))
    suites = tree.findall("testsuite")
    assert len(suites) == 4
    assert suites[-1].attrib["failures"] == "1"
    assert "document.title" in suites[-1].attrib["name"]
    ElementTree.fromstring(formats.junit({**make(), "head": ["\ufffe"]}))


def test_the_recipes_use_this_command():
    for name in ("gradescope/run_autograder", "github/grade.yml"):
        assert "gpt2 grade" in (ROOT / "integrations" / name).read_text()
    for script in ("setup.sh", "run_autograder"):
        subprocess.run(
            ["bash", "-n", str(ROOT / "integrations" / "gradescope" / script)], check=True
        )


# --- in a browser ---------------------------------------------------------------------------------


class Browser:
    """Chromium through its driver, by the WebDriver protocol."""

    def __init__(self, port: int) -> None:
        self.root = f"http://127.0.0.1:{port}"
        options = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1100,900"]
        }
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self.session = self.ask("POST", "/session", wanted)["sessionId"]

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(
            self.root + path, data, {"Content-Type": "application/json"}, method=method
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())["value"]

    def open(self, page: Path) -> None:
        self.ask("POST", f"/session/{self.session}/url", {"url": page.as_uri()})

    def run(self, script: str) -> Any:
        return self.ask(
            "POST", f"/session/{self.session}/execute/sync", {"script": script, "args": []}
        )

    def picture(self) -> bytes:
        return base64.b64decode(self.ask("GET", f"/session/{self.session}/screenshot"))


@pytest.fixture
def browser():
    driver = shutil.which("chromedriver")
    if not driver:
        pytest.skip("no chromedriver here")
    process = subprocess.Popen(
        [driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout
        port = next(
            int(line.split()[-1].rstrip("."))
            for line in process.stdout
            if "successfully on port" in line
        )
        time.sleep(0.2)
        one = Browser(port)
        yield one
        one.ask("DELETE", f"/session/{one.session}")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_the_page_sorts_finds_opens_and_runs_nothing_of_a_students(
    browser: Browser, tmp_path: Path
):
    page = tmp_path / "report.html"
    page.write_text(report_html(make(12)), encoding="utf-8")
    browser.open(page)
    column = "return [...document.querySelectorAll('#class tbody tr')].map(r => Number(r.cells[2].dataset.value))"
    press = "document.querySelectorAll('#class th button')[2].click();" + column
    down = browser.run(press)
    assert down == sorted(down, reverse=True)
    up = browser.run(press)
    assert up == sorted(up)
    name = browser.run("document.querySelector('#class th button').click();"
                       "return document.querySelector('#class tbody tr').cells[0].dataset.value")  # fmt: skip
    assert name.startswith("=HYPERLINK")
    browser.run("document.querySelector('a[href=\"#s3\"]').click()")
    time.sleep(0.2)
    assert browser.run("return document.getElementById('s3').open")
    shown = browser.run(
        "const f = document.getElementById('find'); f.value = 'student 1'; f.dispatchEvent(new Event('input'));"
        "return [...document.querySelectorAll('#class tbody tr')].filter(r => !r.hidden).length"
    )
    assert shown == 3
    assert browser.run("return document.title") == "Grades"
    assert (
        browser.run("return document.querySelectorAll('img, iframe, script[src], link').length")
        == 0
    )
    assert browser.picture()[:4] == b"\x89PNG"
