"""Interview 09, second part: what layer_norm_backward promises, from cause to consequence.

Shapes: B batch, T tokens, C channels, the axis that is normed.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_shape,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.comparisons import assert_layout_is_free

B, T, C = 2, 7, 15
AXES = {"B": B, "T": T, "C": C}
SHAPES = pytest.mark.parametrize("lead", [(B, T), (T,), (), (B, 3, T)], ids=lambda lead: f"{len(lead)} leading axes")
HALF = [(torch.bfloat16, 2**-8), (torch.float16, 2**-10)]  # twice what rounding once may do
NAMES = ("grad_x", "grad_weight", "grad_bias")


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


def back(solution, grad, x, weight, *eps):
    """The three gradients, after a look at their form."""
    what = "layer_norm_backward(grad, x, weight)"
    found = solution.layer_norm_backward(grad, x, weight, *eps)
    three = isinstance(found, tuple | list) and len(found) == 3
    observe(f"{what} returns three", three)
    if not three:
        size = f" of {len(found)}" if isinstance(found, tuple | list) else ""
        fail(
            f"{what} should return three tensors:", expected="(grad_x, grad_weight, grad_bias)",
            got=type(found).__name__ + size, because="Each of x, weight and bias has a gradient, in this order.",
        )
    for name, g, shape in zip(NAMES, found, (x.shape, weight.shape, weight.shape), strict=True):
        assert_shape(
            g, shape, f"{name} of {what}",
            because="grad_x has the shape of x; grad_weight and grad_bias are (C,), sums over all rows.",
        )
    return found


def assert_gradients(solution, given, when, because, *, eps=(), tolerance=1e-4, least=1.0, scale=1.0):
    """Check all three against autograd's, those of the parameters first.

    Args:
        least: the tolerance of what is near 0, in units of `tolerance`.
        scale: how large grad_x is about; that tolerance is in proportion.
    """
    x, weight, _, grad = given
    exact = torch.promote_types(x.dtype, torch.float32)
    _, wanted = right(*(t.to(exact) for t in given), *eps)
    found = back(solution, grad, x, weight, *eps)
    for i in (2, 1, 0):
        assert_close(
            found[i].to(exact), wanted[i], f"{NAMES[i]} of layer_norm_backward {when}", because=because,
            atol=least * tolerance * (scale if i == 0 else 1), rtol=tolerance,
        )


# --- the three gradients -------------------------------------------------------------------------


@SHAPES
def test_layer_norm_backward_gives_three_gradients(solution, lead):
    x, weight, _, grad = draws(*lead)
    back(solution, grad, x, weight)


def test_layer_norm_backward_leaves_its_inputs_alone(solution):
    x, weight, _, grad = draws(B, T)
    assert_input_untouched(solution.layer_norm_backward, grad, x, weight, what="layer_norm_backward")


@SHAPES
def test_the_gradient_of_the_bias_sums_the_rows(solution, lead):
    x, weight, bias, grad = draws(*lead)
    assert_close(
        back(solution, grad, x, weight)[2], right(x, weight, bias, grad)[1][2],
        f"grad_bias of layer_norm_backward for x {(*lead, C)}",
        because="The bias is added to every row as it is, so its gradient is the sum of all rows of grad.", atol=1e-4,
    )


@SHAPES
def test_the_gradient_of_layer_norms_weight_sums_the_rows(solution, lead):
    x, weight, bias, grad = draws(*lead)
    assert_close(
        back(solution, grad, x, weight)[1], right(x, weight, bias, grad)[1][1],
        f"grad_weight of layer_norm_backward for x {(*lead, C)}",
        because="In every row the weight multiplies n, so its gradient is the sum over all rows of grad * n: n as it "
        "was before weight and bias.", atol=1e-4,
    )


def test_lifting_a_row_changes_nothing(solution):
    x, weight, _, grad = draws(B, T)
    grad_x = back(solution, grad, x, weight)[0]
    observe("grad_x of layer_norm_backward", grad_x)
    assert_close(
        grad_x.sum(-1), torch.zeros_like(grad_x[..., 0]), "the sum of each row of layer_norm_backward's grad_x",
        because="The same number added to a whole row of x leaves y as it is, so the slopes of a row add up to 0: the "
        "way through the mean takes off what the direct way has in common.", atol=1e-4,
    )


def test_stretching_a_row_changes_nothing(solution):
    x, weight, _, grad = draws(B, T)
    x = 100 * x
    slope = (back(solution, grad, x, weight)[0] * x).sum(-1)
    observe("grad_x of layer_norm_backward times x", slope)
    assert_close(
        slope, torch.zeros_like(slope), "the sum of grad_x * x over each row, for layer_norm_backward and rows of "
        "several hundred,",
        because="A row that is multiplied by a number gives the same y, as far as eps is nothing beside its variance, "
        "so grad_x has no part along the row: the way through the root takes it off.", atol=1e-3,
    )


@SHAPES
def test_the_gradient_of_layer_norm_is_autograds(solution, lead):
    x, weight, bias, grad = draws(*lead)
    assert_close(
        back(solution, grad, x, weight)[0], right(x, weight, bias, grad)[1][0],
        f"grad_x of layer_norm_backward for x {(*lead, C)}",
        because="Autograd gives the expected value: what x does directly, through the mean and through the root of "
        "its own row, each with grad * weight.", atol=1e-4,
    )


@pytest.mark.parametrize("eps", [(), (1e-5,), (0.5,)], ids=["default", "1e-5", "0.5"])
@pytest.mark.parametrize("spread", [1.0, 1e-2], ids=str)
def test_layer_norm_backward_has_the_eps_of_the_forward(solution, eps, spread):
    x, weight, bias, grad = draws(B, T)
    told = f"eps={eps[0]}" if eps else "the default eps"
    assert_gradients(
        solution, (spread * x, weight, bias, grad), f"with {told} of rows with a spread around {2 * spread:g}",
        "eps stands under the same root as in layer_norm, 1e-5 unless given, and is a constant on the way back.",
        eps=eps, scale=1 / spread,
    )


@pytest.mark.parametrize("c", [1, C])
def test_gradients_of_equal_numbers_are_finite(solution, c):
    x, weight, bias, grad = draws(T, c=c)
    assert_gradients(
        solution, (torch.full_like(x, 3.0), weight, bias, grad), f"for rows of {c} equal numbers",
        "With a variance of 0 the root is sqrt(eps), and nothing is divided by 0.", tolerance=1e-3, scale=300,
    )


def test_an_offset_does_not_harm_the_gradients_of_layer_norm(solution):
    x, weight, bias, grad = draws(B, T)
    x = 2000 + x / 2
    _, wanted = right(*(t.double() for t in (x, weight, bias, grad)))
    for name, found, value in zip(NAMES, back(solution, grad, x, weight), wanted, strict=True):
        assert_close(
            found.double(), value, f"{name} of layer_norm_backward for rows around 2000 with a spread of 1",
            because="Squares around 4 million leave nothing of a variance of 1 in float32; distances from the mean do.",
            atol=0.01, rtol=0.01,
        )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_layer_norm_backward_answers_in_the_types_it_is_given(solution, dtype):
    x, weight, _, grad = (t.to(dtype) for t in draws(B, T))
    assert_equal(
        [str(g.dtype) for g in back(solution, grad, x, weight)], [str(dtype)] * 3,
        f"the list of dtypes of layer_norm_backward for inputs in {dtype}",
        because="grad_x comes in the dtype of x, the other two in that of weight.",
    )


def test_layer_norm_backward_computes_float64_in_float64(solution):
    assert_gradients(
        solution, [t.double() for t in draws(B, T)], "in float64",
        "float64 has 16 digits, and a step through float32 leaves 7 of them.", tolerance=1e-10,
    )


@pytest.mark.parametrize("spread", [1.0, 300.0])
@pytest.mark.parametrize(("dtype", "tolerance"), HALF, ids=["bfloat16", "float16"])
def test_layer_norm_backward_computes_half_precision_in_float32(solution, dtype, tolerance, spread):
    x, *others = (t.to(dtype) for t in draws(B, T))
    assert_gradients(
        solution, (spread * (x + 4), *others), f"in {dtype} for rows around {4.7 * spread:g}",
        "All is computed in float32, and only the three results are rounded: squares of several hundred are inf in "
        "float16, and sums of rounded numbers are off.", tolerance=tolerance, least=0.02, scale=1 / spread,
    )



def test_layer_norm_backward_does_not_mind_the_layout(solution):
    x, weight, _, grad = draws(B, T)
    for i, name in enumerate(NAMES):
        assert_layout_is_free(
            lambda grad, x, i=i: back(solution, grad, x, weight)[i], grad, x,
            what=f"{name} of layer_norm_backward for x and grad that are not contiguous",
        )


# --- from call to call ---------------------------------------------------------------------------


def test_layer_norm_backward_needs_no_forward_before_it(solution):
    given = draws(4, 5, c=9)
    x, weight, bias, grad = draws(B, T)
    solution.layer_norm(x, weight, bias)
    solution.layer_norm_backward(grad, x, weight)
    assert_gradients(
        solution, given, "after calls with an x of another size",
        "It computes from its arguments alone: nothing that layer_norm or an earlier call saw has a part in it.",
    )


class Attached(TorchFunctionMode):
    """Notes whether any operation had a result that requires a gradient."""

    seen = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.seen |= isinstance(result, torch.Tensor) and result.requires_grad
        return result


def test_layer_norm_backward_uses_no_autograd(solution):
    x, weight, _, grad = draws(B, T)
    with Attached() as attached:
        solution.layer_norm_backward(grad, x, weight)
    assert_true(
        not attached.seen, "in layer_norm_backward a tensor requires a gradient, though none of its inputs does",
        because="It is to be worked out by hand, without autograd.",
    )
