"""Right answers of other shapes: a check that fails one of these asks for more than the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.course.catalogue import Problem, find, problems
from common.judging import loading
from common.judging.records import Status
from common.judging.runner import outcomes_of

RIGHT = Path(__file__).parent / "right"
FILES = sorted(RIGHT.glob("*/*.py"))


def failing(problem: Problem, file: Path) -> list[tuple[str, tuple[str, ...]]]:
    outcomes = outcomes_of(problem, loading.load(file))
    return [(o.name, o.facts) for o in outcomes if o.status != Status.PASSED]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f"{f.parent.name}/{f.stem}")
def test_a_right_answer_passes_every_check(file: Path):
    assert not failing(find(file.parent.name), file)


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_every_problem_has_at_least_three_right_answers(problem: Problem):
    assert len(list((RIGHT / problem.name).glob("*.py"))) >= 3


@pytest.mark.parametrize("problem", problems(), ids=lambda p: p.name)
def test_the_reference_passes_every_check(problem: Problem):
    assert not failing(problem, problem.reference)
