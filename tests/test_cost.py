"""What a solution costs beside the reference: ratios that are there when they stand out, and silence when not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import pytest
import torch

from common import internals
from common.course.catalogue import find
from common.judging.checks import Check
from common.judging.cost import _Alive, cost
from common.judging.records import Cost, Outcome, Request, Status, Verdict
from common.judging.runner import run

internals.put_off_the_compiler()  # as the worker does; the first dispatch mode would import it
REFERENCE = ModuleType("reference")
MINE = ModuleType("mine")


def work(module: ModuleType) -> None:
    """What both modules define."""
    module.work()


def checks_that(count: int, name: str = "test_a_{}") -> list[Check]:
    return [Check(name.format(chr(97 + k)), lambda solution: work(solution)) for k in range(count)]


def measured(mine: Callable, reference: Callable, count: int = 5, failing: int = 0) -> Cost | None:
    vars(MINE)["work"], vars(REFERENCE)["work"] = mine, reference
    checks = checks_that(count)
    statuses = [Status.FAILED] * failing + [Status.PASSED] * (count - failing)
    outcomes = [Outcome(c.name, s) for c, s in zip(checks, statuses, strict=True)]
    return cost(checks, outcomes, MINE, REFERENCE)


def busy(steps: int) -> Callable[[], int]:
    return lambda: sum(k * k for k in range(steps))


def table(rows: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.ones(rows, 64).mul(2).sum()


def test_what_takes_more_steps_takes_more_time():
    found = measured(busy(300_000), busy(60_000))
    assert found
    assert found.time
    assert 3 < found.time < 7
    assert found.memory is None, "no tensor was made"
    assert "times the reference's time on the checks that pass." in found.sentence


def test_the_same_again_is_nothing_to_speak_of():
    found = measured(busy(100_000), busy(100_000))
    assert found
    assert found.sentence == ""


def test_memory_is_that_of_the_tensors_that_are_alive_at_once():
    found = measured(table(400), table(100))
    assert found
    assert found.memory == pytest.approx(4, rel=0.01)
    assert "4.0 times" in found.sentence


def test_a_storage_counts_once_while_anything_holds_it():
    with _Alive() as alive:
        x = torch.zeros(1000)
        view = x.view(10, 100)
        assert alive.now == 4000
        del x
        assert alive.now == 4000
        y = view + 1
        del view
        assert (alive.now, alive.peak) == (4000, 8000)
        del y
    assert alive.now == 0


def test_the_way_back_counts_too():
    with _Alive() as alive:
        x = torch.ones(1000, requires_grad=True)
        x.exp().exp().sum().backward()  # both results are kept for it
    assert alive.peak >= 16000


@pytest.mark.parametrize(("count", "failing"), [(8, 5), (2, 0), (0, 0)])
def test_too_few_checks_say_nothing(count: int, failing: int):
    assert measured(busy(9), busy(9), count, failing) is None


def test_what_is_over_at_once_is_not_compared():
    found = measured(busy(2), busy(1))
    assert found
    assert found == Cost(None, None)


def test_however_slow_a_check_is_it_is_not_begun_once_time_is_up():
    turns: list[None] = []
    found = measured(lambda: turns.append(time.sleep(0.5)), busy(9), 20)
    assert not found or not found.sentence
    assert len(turns) <= 6


def test_the_sentence():
    says = {
        Cost(3.06, 1.0): "Yours took 3.1 times the reference's time and 1.0 times its memory on the checks that pass.",
        Cost(None, 2.0): "Yours took 2.0 times the reference's memory on the checks that pass.",
        Cost(0.4, None): "Yours took 0.4 times the reference's time on the checks that pass.",
        Cost(1.4, 0.7): "",
        Cost(None, None): "",
    }  # fmt: skip
    assert {of: of.sentence for of in says} == says


def test_it_is_a_field_of_request_and_verdict():
    problem = find("interview-3")
    request = Request(problem.name, problem.reference, "given", measured=True)
    verdict = run(request)
    assert verdict.cost is not None
    assert Verdict.from_json(verdict.to_json()).cost == verdict.cost
    assert run(replace(request, measured=False)).cost is None
