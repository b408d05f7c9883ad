"""Every known mistake through the exchange: it loses points, and earns what GRADING-TABLE.md says.

    python tests/grading_full.py [--workers 2] [PROBLEM ...]

Prints each that does not, and fails if there is one. Needs Linux and half an hour for all problems.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

from common.course.catalogue import Problem, find, problems
from common.course.mistakes import Mistake, known
from common.grading import table
from common.grading.engine import Engine
from common.grading.marks import read_scheme
from common.grading.rooms import Limits, why_no_sandbox


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

    def attempt(case: tuple[Problem, Mistake]) -> str:
        problem, mistake = case
        result = engine.grade({problem.name: mistake.apply(problem.reference_text)})[problem.name]
        earned = scheme.earned(
            problem, engine.checks[problem.name], result["passed"], engine.free[problem.name]
        )
        found = table.step(sum((e.points for e in earned), Fraction()) / scheme.points(problem))
        said = kept.get(problem.label, {}).get(table.plain(mistake), "nothing at all")
        if found == "all" or found != said:
            return f"{problem.key} {mistake.name}: earns {found!r}, the table says {said!r}"
        return ""

    try:
        for problem in chosen:
            with ThreadPoolExecutor(args.workers) as pool:
                wrong = [
                    says
                    for says in pool.map(attempt, [(problem, m) for m in known(problem)])
                    if says
                ]
            print(f"{problem.label}: {len(known(problem))} mistakes, {len(wrong)} odd", flush=True)
            print(*wrong, sep="\n", end="\n" * bool(wrong), flush=True)
            odd += len(wrong)
    finally:
        engine.close()
    return int(odd > 0)


if __name__ == "__main__":
    sys.exit(main())
