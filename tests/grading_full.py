"""All through the exchange: a known mistake earns what GRADING-TABLE.md says, a right answer all.

    python tests/grading_full.py [--workers 2] [PROBLEM ...]

Prints each that does not, and fails if there is one. Needs Linux and a quarter of an hour for all problems.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

from common.authoring.behaviour import right_answers
from common.course.catalogue import ROOT, Problem, find, problems
from common.course.mistakes import Mistake, known
from common.grading import table
from common.grading.engine import Engine
from common.grading.marks import read_scheme
from common.grading.rooms import Limits, why_no_sandbox
from common.judging.loading import read_source

# The table is made in one process. What a check hands over and what an answer keeps are one tensor, or one global
# switch, there and two here, an answer may begin anew in a process of its own, and other numbers are drawn.
OTHERWISE = {
    ("07", "x is added into what the sublayer gave"): "all",
    ("12", "gradients are switched off at the end"): "more",
    ("14", "the first tokenizer is kept"): "up to a third",
    ("interview-02", "gradients are switched off at the end"): "more",
    ("interview-05", "the prompt grows in place"): "up to two thirds",
    ("interview-06", "only the first occurrence is replaced"): "nothing",
    ("interview-13", "texts stay where they are"): "up to a third",
    ("interview-13", "eos does not count"): "up to a third",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "problems", nargs="*", metavar="PROBLEM", help="05, interview-01 (default: all)"
    )
    args = parser.parse_args()
    chosen = [find(name) for name in args.problems] or problems()
    scheme, kept, odd = read_scheme(), table.written(), 0
    engine = Engine(
        chosen, "all mistakes", Limits(60), workers=args.workers, sandbox=not why_no_sandbox()
    )

    def earns(problem: Problem, text: str) -> str:
        result = engine.grade({problem.name: text})[problem.name]
        earned = scheme.earned(
            problem, engine.checks[problem.name], result["passed"], engine.free[problem.name]
        )
        return table.step(sum((e.points for e in earned), Fraction()) / scheme.points(problem))

    def attempt(case: tuple[Problem, Mistake | Path]) -> str:
        problem, mistake = case
        if isinstance(mistake, Path):
            found = earns(problem, read_source(mistake))
            return "" if found == "all" else f"{problem.key} {mistake.stem}, right: earns {found!r}"
        found = earns(problem, mistake.apply(problem.reference_text))
        said = kept.get(problem.label, {}).get(table.plain(mistake), "nothing at all")
        said = OTHERWISE.get((problem.key, mistake.name), said)
        # The table is about this repository's problems.
        if found != said and (found == "all" or problem.root == ROOT):
            return f"{problem.key} {mistake.name}: earns {found!r}, the table says {said!r}"
        return ""

    try:
        for problem in chosen:
            right = right_answers(problem)
            cases = [(problem, case) for case in [*known(problem), *right]]
            with ThreadPoolExecutor(args.workers) as pool:
                wrong = [says for says in pool.map(attempt, cases) if says]
            print(
                f"{problem.label}: {len(known(problem))} mistakes and {len(right)} right answers, {len(wrong)} odd",
                flush=True,
            )
            print(*wrong, sep="\n", end="\n" * bool(wrong), flush=True)
            odd += len(wrong)
    finally:
        engine.close()
    return int(odd > 0)


if __name__ == "__main__":
    sys.exit(main())
