"""Which checks each known mistake fails, measured once and kept beside the hunts.

    python -m common.hunting.effects        writes hunts/effects.json anew (`make hunts`)

It lets a hunt be composed without running anything: bugs are put together where each fails a check that no
other one of them fails.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from common.course.catalogue import HUNTS, Problem, find, shown
from common.errors import CourseError
from common.files import write_atomically

FILE = HUNTS / "effects.json"
SOURCES = ("interview-01-gpt2-from-scratch", "hunt-01-training-run")


@dataclass(frozen=True)
class Effects:
    """What the mistakes of one problem do.

    Args:
        fails: names of the checks that fail, by the mistake's name.
        silent: mistakes with which the file runs to its end, and the loss still falls.
    """

    fails: Mapping[str, frozenset[str]]
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
        return Effects(fails, frozenset(data["silent"]))
    except (OSError, ValueError, KeyError) as error:
        raise CourseError(
            f"{shown(FILE)} does not say what the mistakes of {problem.name} do ({error!r}): "
            f"`git checkout {shown(FILE)}` brings it back, `make hunts` measures anew"
        ) from None


def main() -> None:
    """Measure."""
    from tqdm import tqdm

    from common.course import mistakes
    from common.hunting.curves import loss_falls
    from common.judging.collecting import checks_of
    from common.judging.diagnosis import module_with
    from common.judging.runner import outcomes_of
    from common.judging.symptoms import log_of

    table = {}
    for problem in map(find, SOURCES):
        names = [check.name for check in checks_of(problem)]
        fails: dict[str, list[int]] = {}
        silent = []
        for mistake in tqdm([m for m in mistakes.known(problem) if m.natural], desc=problem.key):
            module = module_with(problem, problem.reference_text, (mistake,))
            if module is None:
                continue
            outcomes = outcomes_of(problem, module)
            fails[mistake.name] = [i for i, o in enumerate(outcomes) if o.status.is_wrong]
            if problem.symptoms.exists() and loss_falls(log_of(problem, module)):
                silent.append(mistake.name)
        table[problem.name] = {"checks": names, "fails": fails, "silent": silent}
    write_atomically(FILE, json.dumps(table, indent=0) + "\n")


if __name__ == "__main__":
    main()
