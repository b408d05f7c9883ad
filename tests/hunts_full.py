"""A thousand hunts of all levels: each loads and shows a symptom, each bug shows and is credited by itself.

    python tests/hunts_full.py [--count 1000]

Symptoms of a run with training are made for a few of levels 3 and 4 only; for the others a failing check stands in.
"""

from __future__ import annotations

import argparse
import collections
import math
from concurrent.futures import ProcessPoolExecutor

import torch
from tqdm import tqdm

from common.course.catalogue import Problem, find, problems
from common.course.mistakes import Mistake
from common.hunting.composing import LEVELS, Hunt, compose, plant, pool
from common.hunting.crediting import Fate, debriefed
from common.judging.records import Request, Verdict
from common.judging.runner import run


def verdict(problem: Problem, text: str) -> Verdict:
    return run(Request(problem.name, problem.reference, source=text), budget=0)


def odd(level: int, seed: int, key: str) -> tuple[str, tuple[str, ...], str]:
    """The problem, the bugs, and what is wrong with that hunt, if anything is."""
    torch.set_num_threads(1)
    hunt = compose(level, seed, find(key) if key else None)
    names = tuple(m.name for m in hunt.planted)
    return hunt.problem.key, names, _odd(hunt)


def _odd(hunt: Hunt) -> str:
    given = verdict(hunt.problem, hunt.text)
    failing = {o.name for o in given.outcomes if o.status.is_wrong}
    if not failing:
        return "nothing shows"
    for bug in hunt.planted:
        own = hunt.own_checks(bug)
        if own is not None and not own & failing:
            return f"{bug.name} does not show beside the others"
        text = plant(hunt.clean, [m for m in hunt.planted if m is not bug])
        found = debriefed(hunt, given, verdict(hunt.problem, text), text)
        fates = {f.bug.name: f.fate for f in found.findings}
        if fates.pop(bug.name) != Fate.MENDED:
            return f"{bug.name} mended alone is not credited"
        if Fate.MENDED in fates.values():
            return f"{bug.name} mended alone is credited for another one"
        if found.broken:
            return f"{bug.name} mended alone breaks {found.broken[0].name}"
    return ""


def possible(problem: Problem, level: int) -> str:
    """About how many different hunts there are."""
    known: list[Mistake] = pool(problem, level)
    least, most = LEVELS[level].bugs
    return f"{sum(math.comb(len(known), k) for k in range(least, most + 1)):,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    count = parser.parse_args().count
    jobs, known = [], [p for p in problems() if pool(p, 1)]
    for number in range(count):
        level = number % 4 + 1
        key = known[number // 4 % len(known)].key if level == 1 else ""
        jobs.append((level, 100_000 + 30 * number, key))
    seen: dict[int, list[tuple[str, tuple[str, ...]]]] = collections.defaultdict(list)
    wrong = 0
    with ProcessPoolExecutor() as workers:
        found = workers.map(odd, *zip(*jobs, strict=True), chunksize=5)
        for (level, seed, _), (key, names, trouble) in zip(
            jobs, tqdm(found, total=count), strict=True
        ):
            seen[level].append((key, names))
            if trouble:
                wrong += 1
                tqdm.write(f"level {level}, seed {seed}, {key}: {trouble}")
    for level, hunts in sorted(seen.items()):
        kinds = collections.Counter(len(names) for _, names in hunts)
        source = find(LEVELS[level].source) if level > 1 else None
        there = (
            possible(source, level) if source else f"{sum(len(pool(p, 1)) for p in problems()):,}"
        )
        print(
            f"level {level}: {len(hunts)} hunts, {len(set(hunts))} different ones, "
            f"{dict(sorted(kinds.items()))} by number of bugs, at most {there} possible"
        )
    print(f"{wrong} of {count} odd")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
