"""The tests are tested: every known mistake is caught, and diagnosed as itself and nothing else."""

from __future__ import annotations

import random

import pytest

from common import mistakes
from common.catalogue import Problem, problems
from common.collecting import checks_of
from common.diagnosis import diagnose
from common.mistakes import Mistake
from common.results import Status

ENTRIES = [(problem, mistake) for problem in problems() for mistake in mistakes.known(problem)]


def twins_of(problem: Problem, mistake: Mistake) -> set[str]:
    """The names of the entries that by their own word behave like this one."""
    known = mistakes.known(problem)
    root = mistake.same_as or mistake.name
    return {m.name for m in known if root in (m.name, m.same_as)}


@pytest.mark.parametrize(
    ("problem", "mistake"), ENTRIES, ids=[f"{p.key}: {m.name}" for p, m in ENTRIES]
)
def test_every_mistake_is_caught_and_diagnosed_as_itself(problem: Problem, mistake: Mistake):
    checks = checks_of(problem)
    module = mistakes.made(problem, mistake)
    assert module
    outcomes = [check.run(module) for check in checks]
    wrong = [o for o in outcomes if o.status in (Status.FAILED, Status.ERROR)]
    assert wrong, "no check fails"
    found = diagnose(problem, checks, outcomes, budget=60)
    assert found, f"not recognised; it fails {wrong[0].name}: {wrong[0].lines}"
    assert found.exact
    assert len(found.names) == 1
    assert found.names[0] in twins_of(problem, mistake)


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_every_list_is_long_enough_and_well_formed(problem: Problem):
    known = mistakes.known(problem)
    names = [m.name for m in known]
    assert len(known) >= 8
    assert len(set(names)) == len(names)
    assert all(m.same_as in names for m in known if m.same_as)
    odd = [m.name for m in known if not 45 <= len(m.says) <= 330]
    assert not odd


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_two_mistakes_at_once_never_get_the_name_of_a_third(problem: Problem):
    draw = random.Random(problem.name)
    known = mistakes.known(problem)
    checks = checks_of(problem)
    tried = named = 0
    while tried < 6:
        pair = draw.sample(known, 2)
        module = mistakes.made(problem, *pair)
        if module is None:
            continue  # the two edit the same line
        outcomes = [check.run(module) for check in checks]
        assert any(o.status in (Status.FAILED, Status.ERROR) for o in outcomes)
        found = diagnose(problem, checks, outcomes, budget=5)
        tried += 1
        if found:
            family = set().union(*(twins_of(problem, m) for m in pair))
            assert set(found.names) & family, (pair[0].name, pair[1].name, found.names)
            named += 1
    assert named >= 3
