"""`gpt2 grade`: a folder of submissions in, a folder of reports out."""

from __future__ import annotations

import argparse
import base64
import os
import re
import sys
import time
from pathlib import Path

from common.catalogue import Problem, find, problems
from common.errors import CourseError, UsageError
from common.progress import write_atomically


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "submissions", type=Path, help="a folder with one folder or archive a student"
    )
    parser.add_argument(
        "--problems", default="01-12", metavar="LIST", help="01-12 or 05,10 (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where the reports go"
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="points, as TOML (GRADING.md)")
    parser.add_argument("--format", action="append", default=[], choices=["gradescope", "github", "junit"],
                        help="write this as well; may be given more than once")  # fmt: skip
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count() or 1,
        metavar="N",
        help="at a time (default: a core each)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=20.0,
        help="of computing for a problem (default: %(default)g)",
    )
    parser.add_argument(
        "--memory",
        type=int,
        default=2048,
        metavar="MIB",
        help="for a problem (default: %(default)d)",
    )
    parser.add_argument("--sandbox", choices=["auto", "bwrap", "none"], default="auto",
                        help="bwrap: refuse to run without bubblewrap")  # fmt: skip


def chosen(text: str) -> list[Problem]:
    """The problems that "01-03,10,interview-01" means, in the order of the road.

    Raises:
        UsageError: there is no such problem.
    """
    wanted = set()
    for part in filter(None, (p.strip() for p in text.split(","))):
        if ends := re.fullmatch(r"(\d+)-(\d+)", part):
            first, last = int(ends[1]), int(ends[2])
            found = [p for p in problems() if not p.is_interview and first <= int(p.key) <= last]
            if not found:
                raise UsageError(f"there is no problem from {part}")
            wanted |= {p.name for p in found}
        else:
            wanted.add(find(part).name)
    if not wanted:
        raise UsageError("no problem was named: --problems 01-12")
    return [p for p in problems() if p.name in wanted]


def run(args: argparse.Namespace) -> int:
    """Grade a class."""
    if sys.platform != "linux":
        raise CourseError(
            "grading needs Linux: it rests on what its kernel can forbid a process (GRADING.md)"
        )
    from common.grading import sandbox
    from common.grading.marks import read_weights
    from common.grading.run import Course, grade_class
    from common.grading.submissions import find_submissions
    from common.grading.summary import clean, summary

    if args.seconds <= 0 or args.memory < 64 or args.workers < 1:
        raise UsageError("--seconds above 0, --memory from 64 on, --workers from 1 on")
    weights = read_weights(args.weights)
    submissions = find_submissions(args.submissions)
    path, why = ("", "it was not asked for") if args.sandbox == "none" else sandbox.bubblewrap()
    if args.sandbox == "bwrap" and not path:
        raise CourseError(why)
    limits = sandbox.Limits(seconds=args.seconds, memory=args.memory)
    course = Course(chosen(args.problems), args.out, limits, args.workers, path)
    args.out.mkdir(parents=True, exist_ok=True)
    if not path:
        print(f"Without a sandbox ({why}): see GRADING.md.", file=sys.stderr)
    bar = _Bar()
    graded, results = grade_class(course, submissions, bar.show)
    bar.end()
    report = summary(course, graded, results, weights, head_lines(course, why))
    write(report, args.out, args.format)
    look = [s for s in report["students"] if s["flags"]]
    print(f"{len(graded)} students, {len(course.problems)} problems: {args.out / 'report.html'}")
    for student in look[:10]:
        print(f"  look at {student['name']}: {clean(student['flags'][0], 140)}")
    if len(look) > 10:
        print(f"  and at {len(look) - 10} more")
    return 0


def head_lines(course, why: str) -> list[str]:
    """What held while this class was graded, for the head of every report."""
    keys, limits = ", ".join(p.key for p in course.problems), course.limits
    said = [f"Problems {keys}; {limits.seconds:g} s and {limits.memory} MiB each."]
    if course.bubblewrap:
        said.append(
            "Sandbox: bubblewrap. No network; no view of the references, the tests or other students."
        )
    else:
        said.append(
            f"No sandbox: {why}. A submission that goes around Python could read files of the account that graded it."
        )
    if "system calls" in course.layers:
        said.append("System calls: no new processes, no network, no signals to others.")
    else:
        said.append(
            "System calls are not filtered on this machine: process limits and clean-up stand in."
        )
    if "account" in course.layers:
        said.append("Submissions ran in an account that owns nothing.")
    return said


def write(report, out: Path, formats: list[str]) -> None:
    """All files of the report."""
    from common.grading import formats as form
    from common.grading.page import report_html

    write_atomically(out / "grades.csv", form.grades_csv(report))
    write_atomically(out / "report.json", form.report_json(report))
    write_atomically(out / "report.html", report_html(report))
    one = len(report["students"]) == 1
    for student in report["students"]:
        write_atomically(
            out / "feedback" / f"{student['file']}.md", form.feedback_md(report, student)
        )
        if "gradescope" in formats:
            place = out / "results.json" if one else out / "gradescope" / f"{student['file']}.json"
            write_atomically(place, form.gradescope(report, student))
        if "github" in formats:
            text = form.github(report, student)
            place = out if one else out / "github" / student["file"]
            write_atomically(place / "github.json", text)
            write_atomically(place / "github.b64", base64.b64encode(text.encode()).decode() + "\n")
    if "junit" in formats:
        write_atomically(out / "junit.xml", form.junit(report))


class _Bar:
    """How far it is: a bar in a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self.start, self.said, self.live = time.monotonic(), -1, sys.stderr.isatty()

    def show(self, done: int, total: int) -> None:
        passed = time.monotonic() - self.start
        rate = f"{60 * done / passed:.0f} a minute" if passed > 1 else ""
        if self.live:
            full = 30 * done // total
            line = f"\r[{'#' * full}{'-' * (30 - full)}] {done} of {total} students, {rate}  "
            print(line, end="", file=sys.stderr, flush=True)
        elif 10 * done // total > self.said:
            self.said = 10 * done // total
            print(f"{done} of {total} students, {rate}", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self.live:
            print(file=sys.stderr)
