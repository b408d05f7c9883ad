"""Right answers of other shapes: a check that fails one of these asks for more than the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from common.authoring.behaviour import FEWEST_RIGHT, failing, right_answers
from common.course.catalogue import Problem, hunted, problems

ALL = (*problems(), *hunted())
FILES = [(problem, file) for problem in ALL for file in right_answers(problem)]
each_problem = pytest.mark.parametrize("problem", ALL, ids=lambda p: p.name)


@pytest.mark.parametrize(("problem", "file"), FILES, ids=[f"{p.name}/{f.stem}" for p, f in FILES])
def test_a_right_answer_passes_every_check(problem: Problem, file: Path):
    assert not failing(problem, file)


@each_problem
def test_every_problem_has_enough_right_answers(problem: Problem):
    assert len(right_answers(problem)) >= FEWEST_RIGHT


@each_problem
def test_the_reference_passes_every_check(problem: Problem):
    assert not failing(problem, problem.reference)
