"""How long a learner waits, as ratios to `python -c "import torch, pytest"` in the same run.

    python benchmarks/feedback.py [--runs 3]

Claims: (a) the tests of any one problem, as a whole process through uv, at most 1.5; (b) problems 01 to 12
in one process at most 4; (c) `gpt2 list` and `gpt2 hint 5` at most 0.25; (d) a failing problem, diagnosis
included, at most twice a passing one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.catalogue import ROOT, problems

from common import mistakes

UV = shutil.which("uv") or str(ROOT / ".tools/bin/uv")
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
    uv = [UV, "run", "--quiet", "--no-sync"]
    road = [p for p in problems() if not p.is_interview and int(p.key) <= 12]
    seconds(BASE)
    print(
        f"base: {seconds(BASE):.2f} s for `python -c 'import torch, pytest'`; median of {runs} ratios to it\n"
    )
    good = True
    for problem in road:
        command = [*uv, "pytest", f"problems/{problem.name}", "--reference", "-m", "not slow"]
        good &= report(f"(a) {problem.name}", ratio(command, BASE, runs), 1.5)
    together = [
        *uv,
        "pytest",
        "--reference",
        "-m",
        "not slow",
        *(f"problems/{p.name}" for p in road),
    ]
    good &= report("(b) problems 01 to 12 in one process", ratio(together, BASE, runs), 4)
    good &= report("(c) gpt2 list", ratio([*uv, "gpt2", "list"], BASE, runs), 0.25)
    hint = [*uv, "gpt2", "hint", "5", "--again"]
    good &= report("(c) gpt2 hint 5", ratio(hint, BASE, runs), 0.25)
    with tempfile.TemporaryDirectory() as folder:
        for problem in road:
            wrong = Path(folder, f"{problem.key}.py")
            known = mistakes.known(problem)
            wrong.write_text(
                known[len(known) // 2].apply(problem.reference.read_text(encoding="utf-8"))
            )
            place = [*uv, "pytest", f"problems/{problem.name}", "-m", "not slow"]
            measured = ratio([*place, "--solution", str(wrong)], [*place, "--reference"], runs)
            good &= report(f"(d) failing / passing, {problem.key}", measured, 2)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
