"""`gpt2 grade`: how fast it is, and whether a class of 300 gets exactly the marks it should.

    python benchmarks/grading.py [--problems 01,05,08] [--copies 50]     against pytest processes
    python benchmarks/grading.py --class 300 [--kill]                    marks against common.verdict.judge

The first grades correct copies and compares with one pytest process a student and problem, a few of which
are timed in the same run, as many at a time. The second makes submissions from references, right answers,
known mistakes and hostile files, works out their marks apart from the grader, and compares; with --kill the
run is ended with SIGKILL half-way and started again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common.catalogue import ROOT, Problem, problems

from common import mistakes
from common.cli.grade import chosen
from common.grading.marks import earned, read_weights, rounded

HOSTILE = ROOT / "tests" / "hostile"
KEPT_OUT = {
    "honest",
    "at most base",
    "base",
}  # of the hostile files, those whose marks are not plain


def command(submissions: Path, out: Path, keys: str, *more: str) -> list[str]:
    """The command under test."""
    start = [sys.executable, "-m", "common.cli", "grade", str(submissions), "--problems", keys]
    return [*start, "--out", str(out), *more]


def throughput(chosen_problems: list[Problem], copies: int) -> None:
    """Correct copies through `gpt2 grade`, and single ones through pytest."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(copies):
            for problem in chosen_problems:
                own = folder / "class" / f"student-{number:02d}" / problem.name
                own.mkdir(parents=True)
                (own / "solution.py").write_text(problem.reference.read_text())
        keys = ",".join(p.key for p in chosen_problems)
        start = time.monotonic()
        run = command(folder / "class", folder / "out", keys)
        subprocess.run(
            run, cwd=ROOT, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        ours = time.monotonic() - start
        report = json.loads((folder / "out" / "report.json").read_text())
        assert all(s["points"] == report["of"] for s in report["students"])

        def one(problem: Problem) -> None:
            own = folder / "class" / "student-00" / problem.name / "solution.py"
            tested = [
                sys.executable,
                "-m",
                "pytest",
                "-q",
                str(problem.folder),
                "--solution",
                str(own),
            ]
            subprocess.run(tested, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

        lanes = os.cpu_count() or 1
        batch = [*chosen_problems] * 2
        start = time.monotonic()
        with ThreadPoolExecutor(lanes) as pool:
            [*pool.map(one, batch)]
        each = (time.monotonic() - start) / len(batch)
    jobs = copies * len(chosen_problems)
    print(f"{copies} copies of {keys}, {lanes} at a time")
    print(
        f"gpt2 grade          {ours:6.1f} s, start included; {60 * copies / ours:.0f} submissions a minute"
    )
    print(
        f"pytest, a process each {each:6.2f} s a problem; {60 / each / len(chosen_problems):.0f} submissions a minute"
    )
    print(f"ratio {each * jobs / ours:.1f}")


_JUDGE = """
import json, sys, tempfile
from pathlib import Path
from common.catalogue import find
from common.collecting import checks_of
from common.loading import load
from common.verdict import judge
jobs = json.load(open(sys.argv[1]))
out = {"passed": [], "names": {}, "free": {}}
file = Path(tempfile.mkdtemp()) / "solution.py"
for name, source in jobs:
    file.write_text(source)
    problem = find(name)
    out["passed"].append([o.name for o in judge(problem, file).outcomes if o.status == "passed"])
    if name not in out["names"]:
        out["names"][name] = [c.name for c in checks_of(problem)]
        skeleton = judge(problem, problem.skeleton).outcomes
        out["free"][name] = [o.name for o in skeleton if o.status == "passed"]
json.dump(out, open(sys.argv[2], "w"))
"""


def make_class(folder: Path, size: int, chosen_problems: list[Problem]) -> dict[str, float]:
    """Write the submissions; their points, worked out without the grader."""
    rng = random.Random(0)
    kinds: dict[str, list[str]] = {}
    for problem in chosen_problems:
        reference = problem.reference.read_text()
        wrong = [m.apply(reference) for m in mistakes.known(problem)]
        right = [
            p.read_text() for p in sorted((ROOT / "tests" / "right" / problem.name).glob("*.py"))
        ]
        kinds[problem.name] = [reference, *wrong, *right, problem.skeleton.read_text()]
    queues = {name: [*sources] for name, sources in kinds.items()}
    hostile = [
        p for p in sorted(HOSTILE.glob("*.txt")) if p.read_text()[8:].split("\n")[0] not in KEPT_OUT
    ]
    plan: dict[str, dict[str, tuple[str, bool | None]]] = {}
    for number in range(size):
        student = f"student {number:03d}"
        plan[student] = {}
        for problem in chosen_problems:
            if rng.random() < 0.3:
                continue
            queue = queues[problem.name]
            source = queue.pop() if queue else rng.choice(kinds[problem.name])
            plan[student][problem.name] = (source, None)
        if number % 6 == 5 and hostile and any(p.key == "05" for p in chosen_problems):
            text = hostile.pop().read_text()
            if "# problem: 09" not in text:
                everything = "# gets: all" in text
                reference = next(p for p in chosen_problems if p.key == "05").reference.read_text()
                text = (
                    text.replace("#: right", reference)
                    .replace("#: wrong", "")
                    .replace("@ROOT@", str(ROOT))
                )
                plan[student]["05-causal-masking"] = (
                    text.replace("@SUBMISSIONS@", str(folder)),
                    everything,
                )
    sources = sorted(
        {(n, s) for own in plan.values() for n, (s, known) in own.items() if known is None}
    )
    asked, told = folder.parent / "asked.json", folder.parent / "told.json"
    asked.write_text(json.dumps(sources))
    subprocess.run(
        [sys.executable, "-c", _JUDGE, str(asked), str(told)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    answer = json.loads(told.read_text())
    passed = dict(zip(sources, answer["passed"], strict=True))
    weights, expected = read_weights(), {}
    by_name = {p.name: p for p in problems()}
    for student, own in plan.items():
        total = 0.0
        for name, (source, known) in own.items():
            place = folder / student / name
            place.mkdir(parents=True)
            (place / "solution.py").write_text(source)
            shares = weights.shares(by_name[name], answer["names"].get(name, ["x"]))
            points = weights.points(by_name[name])
            part = (
                int(known)
                if known is not None
                else earned(shares, passed[name, source], answer["free"][name])
            )
            total += rounded(points * part) if known is not None else float(points * part)
        (folder / student).mkdir(exist_ok=True)
        expected[student] = total
    missing = {n: len(q) for n, q in queues.items() if q}
    print(
        f"{len(sources)} different files, {sum(map(len, plan.values()))} handed in; not used: {missing or 'none'}"
    )
    return expected


def whole_class(chosen_problems: list[Problem], size: int, kill: bool) -> bool:
    """Grade a made class and compare every student's points."""
    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name) / "class", Path(name) / "out"
        folder.mkdir()
        expected = make_class(folder, size, chosen_problems)
        keys = ",".join(p.key for p in chosen_problems)
        run = command(folder, out, keys, "--seconds", "5")
        start, journal = time.monotonic(), out / ".work" / "journal.jsonl"
        process = subprocess.Popen(
            run, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while kill and process.poll() is None:
            time.sleep(0.2)
            lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
            if lines >= size * len(chosen_problems) // 2:
                process.send_signal(signal.SIGKILL)
                process.wait()
                print(f"killed after {lines} results")
                process = subprocess.Popen(
                    run, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
                )
                break
        code = process.wait()
        took = time.monotonic() - start
        report = json.loads((out / "report.json").read_text())
        lines = [
            json.loads(line) for line in journal.read_bytes().splitlines() if line.endswith(b"}")
        ]
        pairs = {(r["student"], r["problem"]) for r in lines}
        got = {s["name"]: s["points"] for s in report["students"]}
        # Points are rounded by problem in `got` for hostile files, in the sum otherwise: half a cent.
        off = {
            s: (got.get(s), round(e, 4))
            for s, e in expected.items()
            if abs(got.get(s, -1) - e) > 0.00501
        }
        flags = sum(bool(s["flags"]) for s in report["students"])
        print(
            f"exit {code}; {took:.0f} s, {60 * size / took:.0f} submissions a minute; {flags} students to look at"
        )
        few = dict([*off.items()][:9])
        print(
            f"{len(lines)} journal lines, {len(pairs)} results; points differ for {len(off)}: {few}"
        )
        for student in off:
            print(student, next(s["flags"] for s in report["students"] if s["name"] == student))
    return not off


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems")
    parser.add_argument("--copies", type=int, default=50)
    parser.add_argument("--class", dest="size", type=int)
    parser.add_argument("--kill", action="store_true")
    args = parser.parse_args()
    if args.size:
        return not whole_class(chosen(args.problems or "01-12"), args.size, args.kill)
    throughput(chosen(args.problems or "01,05,08"), args.copies)
    return 0


if __name__ == "__main__":
    sys.exit(main())
