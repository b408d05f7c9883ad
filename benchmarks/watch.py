"""From the file's save to the verdict on the screen of `gpt2 watch`, end to end.

    python benchmarks/watch.py [--saves 30] [--no-fork] [NN ...]

A copy of the checkout, a real pseudo-terminal; after ten seconds, in which a learner reads and types, right and
wrong files are saved by turns, and the first save counts too. Goals on two cores, for problems 01 to 18: median at
most 250 ms, 95th percentile at most 400 ms. A failing save's median beside a passing one's: at most twice.
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

import pyte

from common.course import mistakes
from common.course.catalogue import ROOT, Problem, find, road

READING = 10.0  # seconds before the first save: meanwhile known mistakes are run ahead of need
MEDIAN, LATE, FAILING = 0.25, 0.4, 2.0


def copy_of_the_checkout(folder: Path) -> Path:
    for name in ("common", "problems", "solutions", "hunts"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "conftest.py"):
        shutil.copy(ROOT / name, folder)
    return folder


class Terminal:
    """The command in a pseudo-terminal, and what its screen shows."""

    def __init__(self, folder: Path, *arguments: str, fork: bool = True) -> None:
        self.screen = pyte.Screen(100, 40)
        self.stream = pyte.ByteStream(self.screen)
        self.master, self.slave = pty.openpty()
        termios.tcsetwinsize(self.slave, (40, 100))
        environment = {**os.environ, "PYTHONPATH": str(folder), "TERM": "xterm", "NO_COLOR": "1"}
        if not fork:
            environment["GPT2_NO_FORK"] = "1"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "common.cli", *arguments], cwd=folder, env=environment,
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True,
        )  # fmt: skip

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Read until the screen shows the text."""
        end = time.monotonic() + seconds
        while not any(text in line for line in self.screen.display):
            if time.monotonic() > end:
                raise TimeoutError("\n".join([f"{text!r} did not appear:", *self.screen.display]))
            if select.select([self.master], [], [], 1)[0]:
                self.stream.feed(os.read(self.master, 65536))

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def latencies(
    problem: Problem, folder: Path, saves: int, *, fork: bool
) -> tuple[list[float], list[float]]:
    """Seconds from each save to its verdict: of wrong files, and of right ones."""
    watch = Terminal(folder, "watch", problem.key, fork=fork)
    file = folder / "problems" / problem.name / "solution.py"
    right, known = problem.reference_text, mistakes.known(problem)
    measured: tuple[list[float], list[float]] = ([], [])
    try:
        watch.wait_for("ritten")
        time.sleep(READING)
        for number in range(saves):
            wrong = number % 2 == 0
            text = known[number * 7 % len(known)].apply(right) if wrong else right
            start = time.perf_counter()
            file.write_text(f"{text}\n# save {number}\n")
            watch.wait_for("FAILED" if wrong else "Before the next")
            measured[not wrong].append(time.perf_counter() - start)
            time.sleep(0.05 if fork else 6)  # a spare process takes a while to be ready
    finally:
        watch.close()
        file.write_text(problem.skeleton)
    return measured


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problems", nargs="*")
    parser.add_argument("--saves", type=int, default=30)
    parser.add_argument("--no-fork", action="store_true", help="as on macOS and Windows")
    options = parser.parse_args()
    chosen = [find(n) for n in options.problems] or [*road()]
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = copy_of_the_checkout(Path(temporary))
        for problem in chosen:
            failing, passing = latencies(problem, folder, options.saves, fork=not options.no_fork)
            times = sorted([*failing, *passing])
            median, late = statistics.median(times), times[int(0.95 * (len(times) - 1))]
            ratio = statistics.median(failing) / statistics.median(passing)
            fits = median <= MEDIAN and late <= LATE and ratio <= FAILING
            good &= fits
            print(
                f"{problem.name:<26} median {1000 * median:4.0f} ms, 95 % {1000 * late:4.0f} ms, first "
                f"{1000 * failing[0]:4.0f} ms, failing / passing {ratio:.2f}{'' if fits else '   misses a goal'}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
