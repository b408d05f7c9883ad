"""Do the checks ever disagree with themselves? Run them over and over with other seeds and threads.

    python tests/flakes.py [--runs 100]

Every run draws new random numbers for the learner's side (dropout, initial weights, batches), on the
references and on all right answers of tests/right, by turns with one thread and with two.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from common import checks, light_torch, loading
from common.catalogue import find, problems
from common.collecting import checks_of
from common.results import Status

RIGHT = Path(__file__).parent / "right"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    runs = parser.parse_args().runs
    light_torch.install()
    solutions = [(p, loading.load(p.reference)) for p in problems()]
    solutions += [(find(f.parent.name), loading.load(f)) for f in sorted(RIGHT.glob("*/*.py"))]
    failures = total = 0
    for run in range(runs):
        checks.seed = 1000 + run
        torch.set_num_threads(1 + run % 2)
        # All references every time, the right answers in four groups by turns.
        chosen = solutions[: len(problems())] + solutions[len(problems()) + run % 4 :: 4]
        for problem, module in chosen:
            for check in checks_of(problem):
                outcome = check.run(module)
                total += 1
                if outcome.status != Status.PASSED:
                    failures += 1
                    print(
                        f"seed {checks.seed}, {problem.name}, {module.__file__}: {outcome.name}: {outcome.lines}"
                    )
        print(
            f"\rrun {run + 1} of {runs}: {total} checks, {failures} failed", end="", file=sys.stderr
        )
    print(f"\n{total} checks in {runs} runs, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
