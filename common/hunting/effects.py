"""Which checks each known mistake fails, measured once and kept beside the hunts.

    python -m common.hunting.effects        writes hunts/effects.json anew (`make hunts`)

It lets a hunt be composed without running anything: bugs are put together where each fails a check that no
other one of them fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from common.course.catalogue import HUNTS, Problem, find, shown
from common.course.mistakes import DoesNotApply, Mistake
from common.errors import CourseError
from common.files import write_atomically
from common.judging.records import function_of

FILE = HUNTS / "effects.json"
SOURCES = ("interview-01-gpt2-from-scratch", "hunt-01-training-run")


Fails = Mapping[str, frozenset[str]]  # names of the checks that fail, by the mistake's name


@dataclass(frozen=True)
class Effects:
    """What the mistakes of one problem do.

    Args:
        fails: names of the checks that fail, by the mistake's name.
        apart: pairs of names that cannot be planted together: one hides the other, or they edit one line.
        silent: mistakes with which the file runs to its end, and the loss still falls.
    """

    fails: Fails
    apart: frozenset[frozenset[str]]
    silent: frozenset[str]


@cache
def effects(problem: Problem) -> Effects:
    """What was measured.

    Raises:
        CourseError: the table is missing or does not know this problem.
    """
    try:
        data = json.loads(FILE.read_text(encoding="utf-8"))[problem.name]
        names = data["checks"]
        fails = {m: frozenset(names[i] for i in places) for m, places in data["fails"].items()}
        order = [*fails]
        apart = frozenset(frozenset((order[i], order[j])) for i, j in data["apart"])
        return Effects(fails, apart, frozenset(data["silent"]))
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(
            f"{shown(FILE)} does not say what the mistakes of {problem.name} do ({error!r}): "
            f"`git checkout {shown(FILE)}` brings it back, `make hunts` measures anew"
        ) from None


def measured(problem: Problem, mistake: Mistake) -> tuple[list[str], bool]:
    """The checks that a mistake fails, and whether it is silent."""
    import torch

    from common.hunting.curves import loss_falls
    from common.judging.diagnosis import module_with
    from common.judging.runner import outcomes_of
    from common.judging.symptoms import log_of

    torch.set_num_threads(1)
    module = module_with(problem, problem.reference_text, (mistake,))
    if module is None:
        return [], False
    fails = [o.name for o in outcomes_of(problem, module) if o.status.is_wrong]
    return fails, problem.symptoms.exists() and loss_falls(log_of(problem, module))


def told_apart(problem: Problem, one: Mistake, other: Mistake, fails: Fails) -> bool:
    """Whether each of two mistakes in one file fails a check whose function the other one leaves alone."""
    from common.judging.collecting import checks_of
    from common.judging.diagnosis import module_with

    try:
        if one.is_moved(other.apply(problem.reference_text)):
            return False
    except DoesNotApply:
        return False
    module = module_with(problem, problem.reference_text, (other, one))
    own = [own_checks(m.name, [one.name, other.name], fails) for m in (one, other)]
    if module is None or not all(own):
        return (
            module is not None
        )  # such a pair is never drawn, as one of them has nothing of its own
    checks = {c.name: c for c in checks_of(problem)}
    return all(any(checks[n].run(module).status.is_wrong for n in sorted(names)) for names in own)


def own_checks(bug: str, planted: Iterable[str], fails: Fails) -> frozenset[str]:
    """The checks that a bug fails and of which no other planted one fails a case."""
    others = {function_of(c) for name in planted if name != bug for c in fails[name]}
    return frozenset(c for c in fails[bug] if function_of(c) not in others)


def main() -> None:
    """Measure all of them, and all pairs."""
    from concurrent.futures import ProcessPoolExecutor
    from itertools import combinations

    from tqdm import tqdm

    from common.course import mistakes
    from common.judging.collecting import checks_of

    table = {}
    for problem in map(find, SOURCES):
        known = [m for m in mistakes.known(problem) if m.natural]
        names = [check.name for check in checks_of(problem)]
        with ProcessPoolExecutor() as pool:
            found = pool.map(measured, [problem] * len(known), known)
            each = [*tqdm(found, total=len(known), desc=problem.key)]
            fails = {m.name: frozenset(wrong) for m, (wrong, _) in zip(known, each, strict=True)}
            pairs = [*combinations(range(len(known)), 2)]
            ones, others = ([known[pair[side]] for pair in pairs] for side in (0, 1))
            count = len(pairs)
            good = pool.map(
                told_apart, [problem] * count, ones, others, [fails] * count, chunksize=50
            )
            apart = [
                pair
                for pair, fits in zip(pairs, tqdm(good, total=count, desc="pairs"), strict=True)
                if not fits
            ]
        table[problem.name] = {
            "checks": names,
            "fails": {m: sorted(map(names.index, wrong)) for m, wrong in fails.items()},
            "silent": [m.name for m, (_, silent) in zip(known, each, strict=True) if silent],
            "apart": apart,
        }
    write_atomically(FILE, json.dumps(table, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
