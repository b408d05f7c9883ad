"""Interview 11, second part: what softmax_backward promises, from cause to consequence.

Shapes: B batch, T rows, S scores in a row.
"""

import pytest
import torch
from torch.overrides import TorchFunctionMode

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_repeatable,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    observe,
)
from common.testing.attending import AsModule, assert_works_elsewhere
from common.testing.comparisons import assert_layout_is_free
from common.testing.dtypes import assert_half_precision

B, T, S = 2, 5, 7
AXES: dict[str, int] = {}  # as they are drawn


def pair(*lead, size=S):
    """A gradient of weights, and weights."""
    grad = draw("grad", *lead, S=size)
    return grad, torch.softmax(draw("scores", *lead, size), -1)


def backward(solution, grad, weights):
    return assert_tensor(solution.softmax_backward(grad, weights), "softmax_backward(grad_weights, weights)")


class Graphs(TorchFunctionMode):
    """Counts the results that require a gradient."""

    def __init__(self):
        super().__init__()
        self.tracked = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.tracked += isinstance(result, torch.Tensor) and result.requires_grad
        return result


@pytest.mark.parametrize("lead", [(B, T), (), (T,), (B, 1, T)], ids=str)
def test_there_is_a_gradient_for_each_score(solution, lead):
    assert_shape(
        backward(solution, *pair(*lead)), (*lead, S), "softmax_backward(grad_weights, weights)",
        because="A gradient has the shape of what it is the gradient of: there is a score for each weight.",
    )


def test_softmax_backward_leaves_its_inputs_alone(solution):
    assert_input_untouched(solution.softmax_backward, *pair(B, T), what="softmax_backward")


def test_softmax_backward_gives_the_same_twice(solution):
    assert_repeatable(AsModule(solution.softmax_backward), *pair(B, T), what="what softmax_backward gives")


def test_softmax_backward_answers_in_the_type_of_its_inputs(solution):
    assert_keeps_dtype(AsModule(solution.softmax_backward), *pair(B, T), what="what softmax_backward gives")


def test_softmax_backward_works_in_half_precision(solution):
    assert_half_precision(AsModule(solution.softmax_backward), *pair(B, T))


def test_softmax_backward_works_on_another_device(solution):
    assert_works_elsewhere(solution.softmax_backward, *pair(B, T), what="softmax_backward")


def test_softmax_backward_takes_tensors_in_any_order_of_memory(solution):
    assert_layout_is_free(
        AsModule(solution.softmax_backward), *pair(B, T), what="what softmax_backward gives for non-contiguous inputs"
    )


def test_softmax_backward_needs_no_graph(solution):
    grad, weights = pair(T)
    with Graphs() as graphs:
        solution.softmax_backward(grad, weights)
    assert_equal(
        graphs.tracked > 0, False, "whether a tensor in softmax_backward requires a gradient",
        because="The task is to write the backward pass without autograd, from the formula.",
    )


# --- values --------------------------------------------------------------------------------------


def test_a_gradient_that_is_the_same_everywhere_gives_zeros(solution):
    _, weights = pair(B, T)
    got = backward(solution, torch.full_like(weights, 2.5), weights)
    assert_close(
        got, torch.zeros_like(weights), "the gradient of scores when each weight has the gradient 2.5",
        because="The weights of a row sum to 1 whatever its scores are, so a loss that is 2.5 times their sum cannot "
        "change: what is subtracted is the row's mean gradient, each place counted with its weight.",
    )


def test_the_gradients_of_a_row_sum_to_zero(solution):
    grad, weights = pair(B, T)
    got = backward(solution, grad, weights)
    observe("softmax_backward(grad_weights, weights)", got)
    assert_close(
        got.sum(-1), torch.zeros(B, T, device=got.device), "the sum of a row's gradients",
        because="The same number added to all scores of a row changes no weight, so along this direction, the sum of "
        "a row's gradients, the slope is 0.",
    )


def test_a_single_score_gets_zero(solution):
    grad, weights = pair(B, T, size=1)
    assert_close(
        backward(solution, grad, weights), torch.zeros_like(weights), "the gradient of a row with a single score",
        because="Its weight is 1 whatever the score is.",
    )


def test_rows_do_not_touch_each_other(solution):
    grad, weights = pair(B, T)
    changed, others = grad.clone(), weights.clone()
    changed[1], others[1] = draw("other", T, S), torch.softmax(draw("more", T, S), -1)
    before = backward(solution, grad, weights)
    assert_close(
        backward(solution, changed, others)[0], before[0], "the gradients of batch row 0, after changing only row 1,",
        because="Each row along the last axis is a softmax of its own, and its sum runs along that axis alone.",
    )


@pytest.mark.parametrize("place", range(3))
def test_one_weights_gradient_moves_all_scores_of_its_row(solution, place):
    _, weights = pair()
    grad = torch.zeros_like(weights)
    grad[place] = 1.0
    right = -weights[place] * weights
    right[place] += weights[place]
    assert_close(
        backward(solution, grad, weights), right, f"the gradient of the scores of weight {place} alone",
        because=f"This is row {place} of the softmax's derivatives: p_i · (1 - p_i) at i = {place} itself, and "
        "-p_i · p_j at any other j.",
    )


@pytest.mark.parametrize("lead", [(), (T,), (B, T), (B, 3, T)], ids=str)
def test_it_is_the_gradient_that_autograd_gives(solution, lead):
    grad, _ = pair(*lead)
    scores = draw("scores", *lead, S).requires_grad_()
    weights = torch.softmax(scores, -1)
    (right,) = torch.autograd.grad(weights, scores, grad)
    assert_close(
        backward(solution, grad, weights.detach()), right, "softmax_backward(grad_weights, weights)",
        because="Autograd gives the expected value, that of torch.softmax along the last axis.",
    )


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_weights_of_zero_and_one_are_no_trouble(solution, scale):
    grad = scale * draw("grad", T, S)
    weights = torch.eye(T, S, device=grad.device)
    weights[0, :2] = 0.5
    right = torch.zeros_like(weights)
    right[0, 0], right[0, 1] = (grad[0, 0] - grad[0, 1]) / 4, (grad[0, 1] - grad[0, 0]) / 4
    got = backward(solution, grad, weights)
    assert_true(
        bool(got.isfinite().all()), "the gradient of scores is NaN or infinite where weights are exactly 0 or 1",
        because="Large scores and hidden positions give such weights. The formula has only products and a sum: "
        "nothing is divided by a weight, and no logarithm is taken.",
    )
    assert_close(
        got, right, "the gradient of scores where weights are exactly 0, 0.5 or 1", atol=1e-5 * scale,
        because="A weight of 0 or 1 does not move, so its score has the gradient 0; two weights of a half move against "
        "each other.",
    )
