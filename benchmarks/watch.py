"""From the file's save to the verdict on the screen of `gpt2 watch`, end to end.

    python benchmarks/watch.py [--saves 30] [NN ...]

A copy of the checkout, a real pseudo-terminal; after ten seconds, in which a learner reads and types, right and
wrong files are saved by turns. Goals for problems
01 to 11 on two cores: median at most 250 ms, 95th percentile at most 500 ms, and at least 15 times faster
than `pytest problems/NN` as a process, measured in the same run.
"""

from __future__ import annotations

import argparse
import os
import pty
import select
import shutil
import statistics
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

from common.catalogue import ROOT, Problem, find, problems

from common import mistakes

READING = 10.0  # seconds before the first save: meanwhile known mistakes are run ahead of need


def copy_of_the_checkout(folder: Path) -> Path:
    for name in ("common", "problems", "solutions"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, folder)
    return folder


def wait_for(master: int, text: str, seconds: float = 60) -> None:
    """Read the terminal until the text has been drawn."""
    seen, end = "", time.monotonic() + seconds
    while text not in seen.rpartition("\x1b[H")[2]:
        if time.monotonic() > end:
            raise TimeoutError(f"{text!r} did not appear: {seen[-2000:]}")
        if select.select([master], [], [], 1)[0]:
            seen += os.read(master, 65536).decode(errors="replace")


def latencies(problem: Problem, folder: Path, saves: int) -> list[float]:
    """Seconds from each save to its verdict."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (40, 100))
    environment = {**os.environ, "PYTHONPATH": str(folder), "TERM": "xterm", "NO_COLOR": "1"}
    watch = subprocess.Popen(
        [sys.executable, "-m", "common.cli", "watch", problem.key],
        cwd=folder, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
    )  # fmt: skip
    file = folder / "problems" / problem.name / "solution.py"
    right = problem.reference.read_text()
    known = mistakes.known(problem)
    measured = []
    try:
        wait_for(master, "ritten")
        time.sleep(READING)
        for number in range(saves):
            wrong = number % 2 == 0
            text = known[number * 7 % len(known)].apply(right) if wrong else right
            start = time.perf_counter()
            file.write_text(f"{text}\n# save {number}\n")
            wait_for(master, "FAILED" if wrong else "Worth knowing")
            measured.append(time.perf_counter() - start)
            time.sleep(0.05)
    finally:
        watch.kill()
        watch.wait()
        os.close(master)
        os.close(slave)
        shutil.copy(problem.skeleton, file)
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--saves", type=int, default=30)
    options = parser.parse_args()
    chosen = [find(n) for n in options.problems] or [p for p in problems() if not p.is_interview]
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = copy_of_the_checkout(Path(temporary))
        for problem in chosen:
            plain = []
            for _ in range(3):
                start = time.perf_counter()
                command = [
                    sys.executable,
                    "-m",
                    "pytest",
                    f"problems/{problem.name}",
                    "-m",
                    "not slow",
                ]
                subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
                plain.append(time.perf_counter() - start)
            times = sorted(latencies(problem, folder, options.saves))
            median, late = statistics.median(times), times[int(0.95 * (len(times) - 1))]
            ratio = statistics.median(plain) / median
            fits = median <= 0.25 and late <= 0.5 and ratio >= 15
            good &= fits or problem.key > "11"
            print(
                f"{problem.name:<30} median {1000 * median:4.0f} ms, 95 % {1000 * late:4.0f} ms, "
                f"{ratio:5.1f} times faster than pytest{'' if fits else '   misses a goal'}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
