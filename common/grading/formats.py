"""The report in the formats of others: spreadsheet, feedback, Gradescope, GitHub Classroom, JUnit."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any
from xml.sax.saxutils import escape, quoteattr

Report = dict[str, Any]


def cell(value: object) -> str:
    """A value that no spreadsheet takes for a formula, whether it splits at commas, semicolons or tabs."""
    text = str(value).replace(";", ":").replace("\t", " ")
    return f"'{text}" if text.lstrip()[:1] in ("=", "+", "-", "@", "\r", "\n", "|", "%") else text


def grades_csv(report: Report) -> str:
    """A row a student: points by problem, the sum, and what to look at."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(
        ["student", *(p["key"] for p in report["problems"]), "points", "of", "late", "look at"]
    )
    for student in report["students"]:
        points = [f"{student['problems'][p['key']]['points']:.2f}" for p in report["problems"]]
        sums = [f"{student['points']:.2f}", f"{report['of']:.2f}"]
        look = cell(" / ".join([*student["flags"], *student["notes"]]))
        writer.writerow([cell(student["name"]), *points, *sums, cell(student["late"]), look])
    return out.getvalue()


def report_json(report: Report) -> str:
    """The whole of it; GRADING.md has the schema."""
    return json.dumps(report, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~$-])", r"\\\1", text)


def feedback_md(report: Report, student: dict[str, Any]) -> str:
    """What a student reads: by problem, what a learner would have seen."""
    lines = [
        f"# {_plain(student['name'])}",
        "",
        f"{student['points']:.2f} of {report['of']:.2f} points.",
    ]
    for problem in report["problems"]:
        own = student["problems"][problem["key"]]
        head = f"## {problem['key']} {_plain(problem['title'])}: {own['points']:.2f} of {own['of']:.2f}"
        lines += ["", head, "", *feedback_of(own)]
    if student["notes"]:
        lines += [
            "",
            "## What you handed in",
            "",
            *(f"- {_plain(note)}" for note in student["notes"]),
        ]
    return "\n".join(lines) + "\n"


def feedback_of(own: dict[str, Any]) -> list[str]:
    """One problem's feedback; what a student's code said is indented, so that nothing in it is markup."""
    if own["state"] != "graded":
        return [_plain(own["lines"][0][:1].upper() + own["lines"][0][1:] + ".")]
    lines = []
    for each in own["requirements"]:
        said = f"- {each['points']:.2f} of {each['of']:.2f}: {_plain(each['title'])}"
        if each["waits"]:
            said += f" (counts once this is earned: {_plain('; '.join(each['waits']))})"
        elif each["missed"]:
            said += f" (fails: {_plain('; '.join(each['missed'][:3]))}{' ...' * (len(each['missed']) > 3)})"
        lines.append(said)
    lines += ["", *(f"    {text}" for text in own["lines"])]
    for flag in own["flags"]:
        lines += ["", f"Note: {_plain(flag)}."]
    return lines


def _tests(report: Report, student: dict[str, Any]) -> list[dict[str, Any]]:
    """A test a problem, for tools that show a list."""
    tests = []
    for problem in report["problems"]:
        own = student["problems"][problem["key"]]
        tests.append({"problem": problem, "own": own, "text": "\n".join(feedback_of(own))})
    return tests


def gradescope(report: Report, student: dict[str, Any]) -> str:
    """results.json as Gradescope's autograder reads it."""
    tests = [
        {
            "name": f"{t['problem']['key']} {t['problem']['title']}",
            "number": t["problem"]["key"],
            "score": t["own"]["points"],
            "max_score": t["own"]["of"],
            "status": "passed" if t["own"]["points"] == t["own"]["of"] else "failed",
            "output": t["text"],
            "output_format": "text",
            "name_format": "text",
            "visibility": "visible",
        }
        for t in _tests(report, student)
    ]
    data = {
        "score": student["points"],
        "output": "\n".join([*report["head"], *student["notes"]]),
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": tests,
        "extra_data": {"flags": student["flags"]},
    }
    return json.dumps(data, indent=1, ensure_ascii=True) + "\n"


def github(report: Report, student: dict[str, Any]) -> str:
    """The result that GitHub Classroom's autograding reporter takes, before it is put into base64."""
    tests = [
        {
            "name": f"{t['problem']['key']} {t['problem']['title']}",
            "status": "pass" if t["own"]["points"] == t["own"]["of"] else "fail",
            "score": t["own"]["points"],
            "message": t["text"],
            "test_code": f"gpt2 grade --problems {t['problem']['key']}",
            "filename": "",
            "line_no": 0,
            "execution_time": "",
        }
        for t in _tests(report, student)
    ]
    status = "pass" if student["points"] == report["of"] else "fail"
    data = {"version": 1, "status": status, "max_score": report["of"], "tests": tests}
    return json.dumps(data, indent=1, ensure_ascii=True) + "\n"


def junit(report: Report) -> str:
    """JUnit XML: a suite a student, a case a problem."""
    suites = []
    for student in report["students"]:
        cases, failures = [], 0
        for t in _tests(report, student):
            name, own = f"{t['problem']['key']} {t['problem']['title']}", t["own"]
            case = f"    <testcase classname={_attribute(student['name'])} name={_attribute(name)}"
            if own["points"] == own["of"]:
                cases.append(case + "/>")
                continue
            failures += 1
            says = f"{own['points']:.2f} of {own['of']:.2f} points"
            cases.append(
                f"{case}><failure message={_attribute(says)}>{_xml(t['text'])}</failure></testcase>"
            )
        head = f'  <testsuite name={_attribute(student["name"])} tests="{len(cases)}" failures="{failures}">'
        suites.append("\n".join([head, *cases, "  </testsuite>"]))
    return (
        "\n".join(
            ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>", *suites, "</testsuites>"]
        )
        + "\n"
    )


def _allowed(text: str) -> str:
    return re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def _xml(text: str) -> str:
    return escape(_allowed(text))


def _attribute(text: str) -> str:
    return quoteattr(_allowed(text))
