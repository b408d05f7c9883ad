"""Interview 09, first part: what layer_norm promises, from cause to consequence.

Shapes: B batch, T tokens, C channels, the axis that is normed.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_shape,
    assert_tensor,
    draw,
    observe,
)
from common.testing.comparisons import assert_layout_is_free

B, T, C = 2, 7, 15
AXES = {"B": B, "T": T, "C": C}
SHAPES = pytest.mark.parametrize("lead", [(B, T), (T,), (), (B, 3, T)], ids=lambda lead: f"{len(lead)} leading axes")
HALF = [(torch.bfloat16, 2**-8), (torch.float16, 2**-10)]  # twice what rounding once may do


def draws(*lead, c=C):
    """x, weight, bias and the gradient by y; nothing is 0 or 1 on average."""
    shape = {"B": B, "T": T, "C": c} if lead == (B, T) else {}
    x, grad = (draw(name, *(() if shape else (*lead, c)), **shape) for name in ("x", "grad"))
    return 2 * x + 0.7, 1 + 0.4 * draw("weight", c), 0.5 * draw("bias", c), grad + 0.3


def right(x, weight, bias, grad, eps=1e-5):
    """What torch gives: y, and the gradients by autograd."""
    leaves = [t.detach().clone().requires_grad_() for t in (x, weight, bias)]
    y = F.layer_norm(leaves[0], (x.size(-1),), leaves[1], leaves[2], eps)
    return y.detach(), torch.autograd.grad(y, leaves, grad)


def norm(solution, x, weight, bias, *eps, what="layer_norm(x, weight, bias)"):
    return assert_tensor(solution.layer_norm(x, weight, bias, *eps), what)


# --- what others stand on ------------------------------------------------------------


@SHAPES
def test_layer_norm_keeps_the_shape(solution, lead):
    x, weight, bias, _ = draws(*lead)
    assert_shape(
        norm(solution, x, weight, bias), (*lead, C), "layer_norm(x, weight, bias)",
        because="Each number of x has one in y; the leading axes are any number, or none.",
    )


def test_layer_norm_leaves_its_inputs_alone(solution):
    assert_input_untouched(solution.layer_norm, *draws(B, T)[:3], what="layer_norm")


def test_layer_norm_centers_each_row(solution):
    x, weight, bias, _ = draws(B, T)
    y = norm(solution, x, torch.ones_like(weight), torch.zeros_like(bias))
    observe("layer_norm with weight 1 and bias 0", y)
    assert_close(
        y.mean(-1), torch.zeros_like(y[..., 0]), "the mean of each row of layer_norm, with weight 1 and bias 0,",
        because="From each row its own mean is subtracted: the mean of its C numbers, along the last axis.",
    )


def test_layer_norm_gives_each_row_the_variance_one(solution):
    x, weight, bias, _ = draws(B, T)
    y = norm(solution, 100 * x, torch.ones_like(weight), torch.zeros_like(bias))
    observe("layer_norm of rows of several hundred, with weight 1 and bias 0", y)
    assert_close(
        (y - y.mean(-1, keepdim=True)).square().mean(-1), torch.ones_like(y[..., 0]),
        "the variance of each row of layer_norm, for rows of several hundred, with weight 1 and bias 0,",
        because="Each row is divided by its own standard deviation, the root of the mean squared distance from the "
        "mean: divided by C, and eps is nothing beside it here.",
    )


def test_weight_multiplies_and_bias_is_added(solution):
    x, weight, bias, _ = draws(B, T)
    plain = norm(solution, x, torch.ones_like(weight), torch.zeros_like(bias)).clone()
    assert_close(
        norm(solution, x, weight, bias), plain * weight + bias,
        "layer_norm(x, weight, bias), compared with your own for weight 1 and bias 0,",
        because="y is n * weight + bias: channel by channel, after norming, the weight first.",
    )


@SHAPES
def test_layer_norm_is_that_of_torch(solution, lead):
    x, weight, bias, grad = draws(*lead)
    assert_close(
        norm(solution, x, weight, bias), right(x, weight, bias, grad)[0], f"layer_norm of x {(*lead, C)}",
        because="F.layer_norm gives the expected value: (x - mean) / sqrt(var + eps) * weight + bias, row by row.",
    )


@pytest.mark.parametrize("eps", [1e-5, 0.5], ids=str)
@pytest.mark.parametrize("spread", [1.0, 1e-2], ids=str)
def test_layer_norm_adds_eps_under_the_root(solution, eps, spread):
    x, weight, bias, grad = draws(B, T)
    assert_close(
        norm(solution, spread * x, weight, bias, eps), right(spread * x, weight, bias, grad, eps)[0],
        f"layer_norm with eps={eps} of rows with a spread around {2 * spread:g}",
        because="The eps that is given is added to the variance, and the root is taken of both together.",
    )


def test_the_default_eps_of_layer_norm_is_1e_5(solution):
    x, weight, bias, grad = draws(B, T)
    assert_close(
        norm(solution, 1e-3 * x, weight, bias), right(1e-3 * x, weight, bias, grad)[0],
        "layer_norm without eps, of rows with a spread around 0.002",
        because="The signature is layer_norm(x, weight, bias, eps=1e-5), and rows with so little spread show eps.",
    )


@pytest.mark.parametrize("c", [1, C])
def test_a_row_of_equal_numbers_comes_out_as_the_bias(solution, c):
    x, weight, bias, _ = draws(T, c=c)
    assert_close(
        norm(solution, x[:, :1].repeat(1, c), weight, bias), bias.expand(T, c), f"layer_norm of rows of {c} equal "
        "numbers",
        because="Distances from the mean and variance are 0, and 0 / sqrt(0 + eps) is 0: only the bias is left. "
        "Dividing by C - 1 or by a root without eps makes NaN of it.", atol=1e-3,  # a mean of equals may round
    )


def test_an_offset_does_not_harm_layer_norm(solution):
    x, weight, bias, _ = draws(B, T)
    x = 2000 + x / 2
    wanted = F.layer_norm(x.double(), (C,), weight.double(), bias.double())
    assert_close(
        norm(solution, x, weight, bias).double(), wanted, "layer_norm of rows around 2000 with a spread of 1",
        because="float32 has 7 digits: squares around 4 million leave nothing of a variance of 1, while the distances "
        "from the mean are exact enough to be squared.", atol=0.01, rtol=0.01,
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_layer_norm_answers_in_the_type_of_x(solution, dtype):
    x, weight, bias, _ = (t.to(dtype) for t in draws(B, T))
    assert_equal(
        str(norm(solution, x, weight, bias).dtype), str(dtype), f"the dtype of layer_norm for inputs in {dtype}",
        because="y comes in the dtype of x, in whatever type it was computed.",
    )


def test_layer_norm_computes_float64_in_float64(solution):
    x, weight, bias, grad = (t.double() for t in draws(B, T))
    assert_close(
        norm(solution, x, weight, bias), right(x, weight, bias, grad)[0], "layer_norm in float64",
        because="float64 has 16 digits, and a step through float32 leaves 7 of them.", atol=1e-10, rtol=1e-10,
    )


@pytest.mark.parametrize("spread", [1.0, 300.0])
@pytest.mark.parametrize(("dtype", "tolerance"), HALF, ids=["bfloat16", "float16"])
def test_layer_norm_computes_half_precision_in_float32(solution, dtype, tolerance, spread):
    x, weight, bias, grad = (t.to(dtype) for t in draws(B, T))
    x = spread * (x + 4)
    wanted = right(x.float(), weight.float(), bias.float(), grad.float())[0]
    assert_close(
        norm(solution, x, weight, bias).float(), wanted,
        f"layer_norm in {dtype} of rows around {4.7 * spread:g}, compared with float32 for the same numbers,",
        because="Mean, variance and root are computed in float32, and only y is rounded: a half type keeps 2 or 3 "
        "digits, and the squares of several hundred are inf in float16.", atol=tolerance / 50, rtol=tolerance,
    )



def test_layer_norm_does_not_mind_the_layout(solution):
    x, weight, bias, _ = draws(B, T)
    assert_layout_is_free(
        lambda x: norm(solution, x, weight, bias), x, what="layer_norm of an x that is not contiguous"
    )


# --- from call to call ---------------------------------------------------------------------------


def test_layer_norm_keeps_nothing_for_the_next_call(solution):
    x, weight, bias, grad = draws(4, 5, c=9)
    solution.layer_norm(*draws(B, T)[:3])
    first = norm(solution, x, weight, bias)
    assert_close(
        first, right(x, weight, bias, grad)[0], "layer_norm, after a call with x of another size,",
        because="Each call answers for what it is given.",
    )
    before = first.clone()
    solution.layer_norm(x + grad, weight, bias)
    assert_identical(first, before, "layer_norm's y, after the next call,", because="Each call makes a new tensor.")


