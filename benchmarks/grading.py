"""How fast is a class graded, how soon does the first result come, how much memory does it take?

    python benchmarks/grading.py [--students 300] [--workers 2] [--problems 01-12]

The class is drawn: of each problem a third of the answers are references, a third right ones of other shapes,
a sixth known mistakes, a sixth skeletons; no two files are identical, as identical ones are graded once. Prints
students a minute on the clock, seconds of computing a student (which other work on the machine changes little),
the seconds until the first student was done, and the largest memory of all processes together.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.cli.grade import chosen
from common.course.catalogue import ROOT, Problem
from common.course.mistakes import known

RIGHT = ROOT / "tests" / "right"


def answers(problem: Problem) -> dict[str, list[str]]:
    """The texts that a student may hand in, by kind."""
    text = problem.reference_text
    return {
        "reference": [text],
        "right": [
            f.read_text(encoding="utf-8") for f in sorted((RIGHT / problem.name).glob("*.py"))
        ]
        or [text],
        "mistake": [m.apply(text) for m in known(problem)] or [text],
        "skeleton": [problem.skeleton],
    }


def make_class(folder: Path, students: int, problems: list[Problem]) -> None:
    """A folder for each student."""
    draw, kinds = random.Random(1), ["reference"] * 2 + ["right"] * 2 + ["mistake", "skeleton"]
    choices = {p.name: answers(p) for p in problems}
    for number in range(students):
        for problem in problems:
            place = folder / f"student{number:03}" / problem.name
            place.mkdir(parents=True)
            text = draw.choice(choices[problem.name][draw.choice(kinds)])
            place.joinpath("solution.py").write_text(f"{text}\n# {number}\n", encoding="utf-8")


class Used:
    """What all processes of the run have used: looked at now and then, as most of them are nobody's children."""

    def __init__(self) -> None:
        self.peak = 0  # bytes of memory; what processes share counts once
        self.ticks: dict[str, int] = {}  # of computing, by process and start

    def look(self) -> None:
        total = 0
        for place in Path("/proc").iterdir():
            if not place.name.isdecimal():
                continue
            try:
                command = place.joinpath("cmdline").read_bytes()
                if sys.executable.encode() not in command or b"common" not in command:
                    continue
                fields = place.joinpath("stat").read_text().rpartition(")")[2].split()
                self.ticks[f"{place.name} {fields[19]}"] = sum(map(int, fields[11:15]))
                rollup = place.joinpath("smaps_rollup").read_text()
                total += (
                    sum(
                        int(line.split()[1])
                        for line in rollup.splitlines()
                        if line.startswith("Pss:")
                    )
                    << 10
                )
            except (OSError, IndexError):
                continue  # it has ended
        self.peak = max(self.peak, total)

    @property
    def seconds(self) -> float:
        return sum(self.ticks.values()) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=300)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--problems", default="01-12")
    parser.add_argument("--unsafe-no-sandbox", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as above:
        folder, out = Path(above, "class"), Path(above, "out")
        make_class(folder, args.students, chosen(args.problems))
        command = [sys.executable, "-m", "common.cli", "grade", str(folder), "--out", str(out),
                   "--problems", args.problems, "--workers", str(args.workers)]  # fmt: skip
        command += ["--unsafe-no-sandbox"] * args.unsafe_no_sandbox
        began = time.monotonic()
        process = subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        used, before = Used(), 0.0
        journal, first = out / ".work" / "journal.jsonl", 0.0
        rehearsals = 2 * len(chosen(args.problems))
        while process.poll() is None:
            used.look()
            if (
                not first
                and journal.is_file()
                and len(journal.read_text().splitlines()) > rehearsals
            ):
                first, before = time.monotonic() - began, used.seconds
            time.sleep(0.2)
        seconds = time.monotonic() - began
    rate = 60 * args.students / (seconds - first)
    print(f"{args.students} students, {args.problems}, {args.workers} at a time: {seconds:.0f} s")
    print(f"{rate:.1f} students a minute, {60 * rate / args.workers:.0f} an hour and worker")
    each = (used.seconds - before) / args.students
    print(
        f"{each:.2f} s of computing a student: {3600 / each:.0f} an hour for a core that does nothing else"
    )
    print(
        f"first student after {first:.1f} s, {before:.1f} s of computing; at most {used.peak / 2**30:.2f} GiB in all"
    )
    if process.returncode:
        sys.exit(process.stderr.read() if process.stderr else 1)


if __name__ == "__main__":
    main()
