"""From `gpt2 hunt` to the file that can be opened, beside importing torch; and from a save to its answer.

    python benchmarks/hunt.py [--saves 20]

Goals: open in at most 1.5 times the import, an answer in at most 250 ms (median) where no training runs.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from watch import MEDIAN, Terminal, copy_of_the_checkout

HUNTS = (("05",), ("--level", "2"), ("--level", "3"), ("--level", "4"))
OPEN = 1.5  # times importing torch


def importing_torch() -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    return time.perf_counter() - start


def measured(folder: Path, hunt: tuple[str, ...], saves: int) -> tuple[float, float]:
    """Seconds until the file is there, and the median from a save to its answer."""
    start = time.perf_counter()
    terminal = Terminal(folder, "hunt", *hunt, "--new", "--seed", "5")
    try:
        while not (found := [*folder.glob("interviews/*/*/solution.py")]):
            time.sleep(0.002)
        opened = time.perf_counter() - start
        file = found[0]
        while not file.with_name("symptoms.txt").exists():
            terminal.wait_for("left", seconds=1)
            time.sleep(0.1)
        text, times = file.read_text(), []
        for number in range(saves):
            start = time.perf_counter()
            file.write_text(f"{text}\n# save {number}\n")
            if number % 2:  # the stamp alone may be that of the save before
                file.write_text("def (:\n")
                terminal.wait_for("does not run")
            else:
                terminal.wait_for("passes" if len(hunt) > 1 else "still so")
            times.append(time.perf_counter() - start)
            time.sleep(0.1)
    finally:
        terminal.close()
        for file in found:
            file.parent.rename(folder / f"done-{time.monotonic_ns()}")
    return opened, statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saves", type=int, default=20)
    saves = parser.parse_args().saves
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        folder = copy_of_the_checkout(Path(temporary))
        for hunt in HUNTS:
            opened, answer = measured(folder, hunt, saves)
            ratio = opened / importing_torch()
            fits = ratio <= OPEN and answer <= MEDIAN
            good &= fits
            print(
                f"hunt {' '.join(hunt):<10} open after {opened:.2f} s, {ratio:.2f} of importing torch; "
                f"a save's answer {1000 * answer:.0f} ms{'' if fits else '   misses a goal'}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
