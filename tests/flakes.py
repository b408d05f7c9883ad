"""Do the checks ever disagree with themselves? Run them over and over with other seeds and threads.

    python tests/flakes.py [--runs 100] [NN ...]

Every run draws other inputs, and other random numbers for the learner's side (dropout, initial weights, batches),
on the references and on all right answers of tests/right, by turns with one thread and with two.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from common import internals
from common.course.catalogue import find, problems
from common.judging.loading import load
from common.judging.records import Status
from common.judging.runner import outcomes_of
from common.testing.context import surroundings

RIGHT = Path(__file__).parent / "right"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("problems", nargs="*", help="default: all")
    args = parser.parse_args()
    internals.put_off_the_compiler()
    wanted = [find(p) for p in args.problems] or [*problems()]
    references = [(p, load(p.reference)) for p in wanted]
    right = [(p, load(f)) for p in wanted for f in sorted((RIGHT / p.name).glob("*.py"))]
    total = failures = 0
    for run in range(args.runs):
        torch.set_num_threads(1 + run % 2)
        seed = args.first + run
        # The references in every run, the right answers in four groups by turns.
        for problem, module in [*references, *right[run % 4 :: 4]]:
            with surroundings(seed=seed):
                outcomes = outcomes_of(problem, module)
            total += len(outcomes)
            for outcome in outcomes:
                if outcome.status != Status.PASSED:
                    failures += 1
                    where = f"{problem.name}, {module.__file__}"
                    print(f"seed {seed}, {where}: {outcome.name}: {outcome.facts}")
        done = f"run {run + 1} of {args.runs}: {total} checks, {failures} failed"
        print(f"\r{done}", end="", file=sys.stderr)
    print(f"\n{total} checks in {args.runs} runs, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
