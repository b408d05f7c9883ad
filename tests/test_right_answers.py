"""Right answers of other shapes: a check that fails one of these asks for more than the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from common import loading
from common.catalogue import find, problems
from common.collecting import checks_of
from common.results import Status

RIGHT = Path(__file__).parent / "right"
FILES = sorted(RIGHT.glob("*/*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_a_right_answer_passes_every_check(file: Path):
    module = loading.load(file)
    outcomes = [check.run(module) for check in checks_of(find(file.parent.name))]
    wrong = [(o.name, o.lines) for o in outcomes if o.status != Status.PASSED]
    assert not wrong


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_every_problem_has_at_least_three_right_answers(problem):
    assert len(list((RIGHT / problem.name).glob("*.py"))) >= 3


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_the_reference_passes_every_check(problem):
    module = loading.load(problem.reference)
    wrong = [
        (o.name, o.lines)
        for o in (c.run(module) for c in checks_of(problem))
        if o.status != Status.PASSED
    ]
    assert not wrong
