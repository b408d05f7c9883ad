"""`gpt2 grade`: a folder of submissions in, a folder of reports out."""

from __future__ import annotations

import argparse
import base64
import datetime
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

from common.course.catalogue import Problem, find, problems
from common.errors import CourseError, UsageError
from common.files import write_atomically

NO_SANDBOX = (
    "WITHOUT A SANDBOX ({why}). Submissions are programs: what they run as can read what your account can read "
    "unless Landlock stops it, and can fill its disk. See GRADING.md."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "submissions", type=Path, help="a folder with one folder or archive a student"
    )
    parser.add_argument(
        "--one", action="store_true", help="it is itself one student's folder or archive"
    )
    parser.add_argument(
        "--problems", default="01-12", metavar="LIST", help="01-12 or 05,10 (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where the reports go"
    )
    parser.add_argument(
        "--requirements", type=Path, metavar="FILE", help="points, as TOML (GRADING.md)"
    )
    parser.add_argument("--format", action="append", default=[], choices=["gradescope", "github", "junit"],
                        help="write this as well; may be given more than once")  # fmt: skip
    parser.add_argument("--only", action="append", default=[], metavar="STUDENT[:NN]",
                        help="grade this one again, in this problem, and nobody else")  # fmt: skip
    parser.add_argument(
        "--due",
        type=_time,
        metavar="TIME",
        help='what was changed later is late: "2026-03-01 18:00"',
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="students at a time (default: a core each)")  # fmt: skip
    parser.add_argument(
        "--cluster", metavar="ADDRESS", help="grade on the Dask cluster with this scheduler"
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
    parser.add_argument(
        "--unsafe-no-sandbox", action="store_true", help="run submissions without bubblewrap"
    )


def _time(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-03-01 18:00") from None


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
    from common.grading.journal import Journal, alone_in
    from common.grading.marks import read_scheme
    from common.grading.rooms import Limits, why_no_sandbox
    from common.grading.submissions import find_submissions

    if args.seconds <= 0 or args.memory < 64 or args.workers < 1:
        raise UsageError("--seconds above 0, --memory from 64 on, --workers from 1 on")
    scheme, asked = read_scheme(args.requirements), chosen(args.problems)
    submissions = find_submissions(args.submissions, one=args.one)
    why = "it was asked for" if args.unsafe_no_sandbox else why_no_sandbox()
    if why and not args.unsafe_no_sandbox:
        raise CourseError(
            f"{why}; to run submissions without a sandbox all the same, say --unsafe-no-sandbox"
        )
    limits = Limits(args.seconds, args.memory << 20)
    with alone_in(args.out / ".work"):
        journal = Journal(args.out / ".work", f"{limits} {'no sandbox' if why else 'sandbox'}")
        if why:
            print(NO_SANDBOX.format(why=why), file=sys.stderr)
        return _grade(args, asked, scheme, submissions, limits, journal, why)


def _grade(
    args: Any, asked: Any, scheme: Any, submissions: Any, limits: Any, journal: Any, why: str
) -> int:
    from common.grading.classes import grade_class, rehearse
    from common.grading.similar import pairs
    from common.grading.summary import Report

    grader, head = _grader(args, asked, limits, journal.secret, sandbox=not why)
    bar = _Bar()
    try:
        rehearse(grader, asked, scheme, journal)
        anew = _anew(args.only, submissions) if args.only else None
        graded = grade_class(grader, asked, submissions, journal, anew=anew, on_progress=bar.show)
    finally:
        bar.end()
        grader.close()
    known = {p.name: (p.reference_text, p.skeleton) for p in asked}
    similar = pairs({f"{g.submission.name}": g.submission.files for g in graded}, known)
    keys = ", ".join(p.key for p in asked)
    said = [
        f"Problems {keys}; {limits.seconds:g} s of computing and {limits.memory >> 20} MiB each.",
        *head,
    ]
    report = Report(asked, scheme, grader, said, args.due).of(graded, similar)
    write(report, args.out, args.format)
    for line in summary_lines(report, args.out):
        print(line)
    return 0


def _grader(
    args: Any, asked: Any, limits: Any, secret: str, *, sandbox: bool
) -> tuple[Any, list[str]]:
    """What grades, and what held, for the head of every report."""
    if args.cluster:
        from common.grading.cluster import Cluster

        cluster = Cluster(args.cluster, asked, secret, limits, sandbox=sandbox)
        return cluster, [f"Graded on a cluster with room for {cluster.workers} students at a time."]
    from common.grading.engine import Engine

    engine = Engine(asked, secret, limits, workers=args.workers, sandbox=sandbox)
    head = ["Sandbox: bubblewrap. No network; nothing to be seen but Python and torch." if sandbox
            else "NO SANDBOX: submissions ran with little between them and this account."]  # fmt: skip
    head.append("System calls were filtered." if engine.agents.filters
                else f"System calls were not filtered: {engine.agents.said['filter']}.")  # fmt: skip
    return engine, head


def _anew(only: list[str], submissions: Any) -> Any:
    """Whether a submission is among those that were named.

    Raises:
        UsageError: no student has that name.
    """
    wanted = set()
    for text in only:
        name, _, key = text.rpartition(":") if re.search(r":[\w-]+$", text) else (text, "", "")
        if name not in {s.name for s in submissions}:
            raise UsageError(f"no student is called {name!r}")
        wanted.add((name, find(key).name if key else ""))
    return lambda submission, problem: bool(
        {(submission.name, problem.name), (submission.name, "")} & wanted
    )


def summary_lines(report: dict[str, Any], out: Path) -> list[str]:
    """What the terminal shows at the end: every flag of everybody."""
    from common.grading.summary import clean

    students = report["students"]
    lines = [f"{len(students)} students, {len(report['problems'])} problems: {out / 'report.html'}"]
    for student in students:
        lines += [f"  look at {student['name']}: {clean(flag, 200)}" for flag in student["flags"]]
    for pair in report["similar"]:
        lines.append(
            f"  look at these two: {pair['one']} and {pair['other']} ({pair['share']:.0%} alike)"
        )
    return lines


def write(report: dict[str, Any], out: Path, formats: list[str]) -> None:
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
