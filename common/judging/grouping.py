"""All failing checks, sorted by what caused them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from common.course.catalogue import Problem
from common.judging.causes import Group
from common.judging.checks import Check
from common.judging.diagnosis import PATIENCE, Bank, Made
from common.judging.evidence import ENOUGH
from common.judging.records import Outcome, Status


def grouped(
    problem: Problem, checks: Sequence[Check], outcomes: Sequence[Outcome]
) -> tuple[Group, ...]:
    """The failing checks by cause, that of most first; those without a known cause come last.

    A known mistake is a cause where the values it gives are telling, all that it breaks fails here too, and most of
    that in its way. So two independent mistakes come out as two groups; what both change is left to the last one.

    Args:
        checks, outcomes: of the whole problem, in the same order.
    """
    deadline = time.process_time() + PATIENCE
    pairs = [*zip(checks, outcomes, strict=True)]
    passed = [check for check, outcome in pairs if outcome.status == Status.PASSED]
    left = {outcome.name: (check, outcome) for check, outcome in pairs if outcome.status.is_wrong}
    bank = Bank(problem)
    found: dict[Made, list[str]] = {}
    for made in bank.singles:
        if time.process_time() > deadline:
            found = {}
            break
        explained = [name for name, pair in left.items() if bank.explains(made, pair)]
        breaks = [1 for check, _ in left.values() if not bank.passes(made, [check])]
        if 2 * len(explained) > len(breaks) and bank.passes(made, passed):
            found[made] = explained
    groups = []
    while found:
        names = max(found.values(), key=len)
        fitting = [made for made, explained in found.items() if explained == names]
        if bank.telling([left[name] for name in names]) >= ENOUGH:
            says = dict.fromkeys(mistake.says for made in fitting for mistake in made)
            groups.append(Group(tuple(names), tuple(says)))
            left = {name: pair for name, pair in left.items() if name not in names}
        found = {
            made: rest
            for made, explained in found.items()
            if made not in fitting and (rest := [name for name in explained if name in left])
        }
    return (*groups, Group(tuple(left))) if left else tuple(groups)
