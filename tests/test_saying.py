"""What the checks' helpers say of values: shapes with letters, lists that differ, gradients that went wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from common.course.catalogue import find
from common.judging.records import Request
from common.judging.runner import run
from common.testing.asserts import CheckFailed
from common.testing.axes import name_sizes, named
from common.testing.comparisons import assert_gradients_of
from common.testing.context import surroundings
from common.testing.elsewhere import DevicesDiffer, elsewhere
from common.testing.words import contrast

SIZES = {"B": 4, "T": 2, "H": 3, "C": 15, "D": 5}


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((4, 2, 15), "that is (B, T, C)"),
        ((4, 3, 2, 2), "that is (B, H, T, T)"),
        ((15, 15), "that is (C, C)"),
        ((8, 15), "that is (B*T, C)"),
        # 3 of q, k and v is not the number of heads, and 8 tokens in a cache are not the rows times the tokens.
        ((3, 4, 3, 2, 5), "that is (3, B, 3, T, D)"),
        ((4, 3, 8, 5), "that is (B, H, 8, D)"),
    ],
)
def test_a_shape_is_told_in_letters_where_they_fit(shape: tuple[int, ...], says: str):
    with surroundings():
        name_sizes(**SIZES)
        assert named(shape) == f"{shape}, {says}"


NAMES = [f"h.{i}.attn.c_attn.weight" for i in range(4)]


@pytest.mark.parametrize(
    ("got", "says"),
    [
        (NAMES[1:], (f"with {NAMES[0]}", "without it")),
        (NAMES[2:], (f"with {NAMES[0]}, {NAMES[1]}", "without these")),
        ([*NAMES, "mask"], ("these 4 and no other", "mask as well")),
        ([*NAMES[1:], "mask"], (f"with {NAMES[0]}", "without it, but with mask")),
    ],
)
def test_of_two_lists_of_names_the_difference_is_told(got: list[str], says: tuple[str, str]):
    assert contrast(NAMES, got) == says


class Cubed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, *gradients):
        (x,) = ctx.saved_tensors
        return 2 * x**2 * gradients[0]


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x**2 * x.detach(), "a part of the way back is missing"),
        (lambda x: x.detach() ** 3, "no gradient reaches x"),
        (lambda x: x.detach() ** 3 + 0 * x, "Learning goes the way back"),
        (Cubed.apply, "Cubed.backward is yours"),
        (lambda x: x**3 + torch.where(x > 9, x.exp(), 0 * x.sqrt().nan_to_num()), "0 * inf"),
    ],
    ids=["in part", "whole", "zero", "own backward", "nan"],
)
def test_a_gradient_that_is_wrong_is_told_by_how_it_came_about(
    function: Callable[[Tensor], Tensor], says: str
):
    with surroundings(), pytest.raises(CheckFailed) as failed:
        assert_gradients_of(function, lambda x: x**3, {"x": torch.tensor([-1.0, 0.5, 2.0])})
    assert says in " ".join([*failed.value.facts(), failed.value.because])


def test_nothing_is_said_of_the_way_back_where_the_values_are_wrong():
    with surroundings(), pytest.raises(CheckFailed) as failed:
        assert_gradients_of(lambda x: x**2, lambda x: x**3, {"x": torch.tensor([0.5, 2.0])})
    assert failed.value.because == ""


LEARNS = "        optimizer.step()\n"
LEFT_OUT = ("Adam(model.parameters(),", "Adam([p for p in model.parameters() if p.ndim > 1],")
PUT_BACK = (
    LEARNS,
    "        if not losses:\n"
    "            best = [p.detach().clone() for p in model.parameters()]\n"
    f"{LEARNS}"
    "        if len(losses) + 1 == num_steps:\n"
    "            with torch.no_grad():\n"
    "                for p, b in zip(model.parameters(), best):\n"
    "                    p.copy_(b)\n",
)


@pytest.mark.parametrize(
    ("change", "says"),
    [(LEFT_OUT, "never moves, either: the optimizer moves"), (PUT_BACK, "those before step 1")],
    ids=["never given to the optimizer", "put back at the end"],
)
def test_what_training_leaves_out_or_takes_back_is_told(change: tuple[str, str], says: str):
    problem = find(12)
    verdict = run(
        Request(
            problem.name,
            problem.solution,
            source=problem.reference_text.replace(*change),
            cause=False,
        )
    )
    assert any(says in outcome.because for outcome in verdict.wrong)


def test_a_parameter_lies_where_the_tensor_lies_that_it_was_made_of():
    with surroundings(), elsewhere() as send:
        weight = nn.Parameter(send(torch.ones(3, 5)))
        assert (send(torch.ones(2, 3)) @ weight).device == weight.device
        with pytest.raises(DevicesDiffer):
            torch.ones(2, 3) @ weight


def test_an_optimizer_that_moves_nothing_is_not_told_of_layouts():
    problem = find("interview-04")
    wrong = problem.reference_text.replace("p -= self.lr", "p -= 0 * self.lr")
    verdict = run(Request(problem.name, problem.solution, source=wrong))
    assert verdict.wrong
    assert not any("transposed matrix" in o.because for o in verdict.wrong)
