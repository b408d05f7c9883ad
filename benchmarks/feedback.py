"""How long a learner waits, as ratios to `python -c "import torch, pytest"` in the same run.

    python benchmarks/feedback.py [--runs 3]

Claims: (a) `gpt2 check` of a right answer to any one problem at most 1.5, and so pytest on its reference; (b) problems
01 to 12 in one process of pytest at most 4; (c) `gpt2 list` and `gpt2 hint 5` at most 0.25; (d) a failing problem,
diagnosis included, at most twice a passing one.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.course import mistakes
from common.course.catalogue import ROOT, road

BASE = [sys.executable, "-c", "import torch, pytest"]


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(
        command, cwd=ROOT, capture_output=True, env={**os.environ, "NO_COLOR": "1"}, check=False
    )
    return time.perf_counter() - start


def ratio(command: list[str], base: list[str], runs: int) -> tuple[float, float, float]:
    """Median, minimum and maximum of time(command) / time(base), the two measured in turn."""
    pairs = [(seconds(command), seconds(base)) for _ in range(runs)]
    ratios = [a / b for a, b in pairs]
    return statistics.median(ratios), min(ratios), max(ratios)


def report(name: str, measured: tuple[float, float, float], limit: float) -> bool:
    median, low, high = measured
    verdict = "" if median <= limit else "   over the limit"
    print(
        f"{name:<44} {median:6.2f}  ({low:.2f} to {high:.2f})   limit {limit}{verdict}", flush=True
    )
    return median <= limit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    pytest, gpt2 = [sys.executable, "-m", "pytest"], [sys.executable, "-m", "common.cli"]
    seconds(BASE)
    print(
        f"base: {seconds(BASE):.2f} s for `python -c 'import torch, pytest'`; median of {runs} ratios to it\n"
    )
    good = True
    with tempfile.TemporaryDirectory() as folder:
        for problem in road():
            right, wrong = (Path(folder, f"{problem.key}-{how}.py") for how in ("right", "wrong"))
            right.write_text(problem.reference_text)
            known = mistakes.known(problem)
            wrong.write_text(known[len(known) // 2].apply(problem.reference_text))
            place = [*pytest, f"problems/{problem.name}", "-m", "not slow", "--solution"]
            good &= report(f"(a) {problem.name}", ratio([*place, str(right)], BASE, runs), 1.5)
            measured = ratio([*place, str(wrong)], [*place, str(right)], runs)
            good &= report(f"(d) failing / passing, {problem.key}", measured, 2)
    good &= report("(a) gpt2 check 05", ratio([*gpt2, "check", "05"], BASE, runs), 1.5)
    first = [f"problems/{p.name}" for p in road() if int(p.key) <= 12]
    together = [*pytest, "--reference", "-m", "not slow", *first]
    good &= report("(b) problems 01 to 12 in one process", ratio(together, BASE, runs), 4)
    good &= report("(c) gpt2 list", ratio([*gpt2, "list"], BASE, runs), 0.25)
    good &= report("(c) gpt2 hint 5", ratio([*gpt2, "hint", "5", "--again"], BASE, runs), 0.25)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
