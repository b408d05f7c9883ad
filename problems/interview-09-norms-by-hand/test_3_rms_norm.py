"""Interview 09, third part: what rms_norm and rms_norm_backward promise, from cause to consequence.

Shapes: B batch, T tokens, C channels, the axis that is normed.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_shape,
    assert_tensor,
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
DTYPES = [torch.float64, torch.bfloat16, torch.float16]
NAMES = ("grad_x", "grad_weight")


def draws(*lead, c=C):
    """x, weight and the gradient by y; nothing is 0 or 1 on average."""
    shape = {"B": B, "T": T, "C": c} if lead == (B, T) else {}
    x, grad = (draw(name, *(() if shape else (*lead, c)), **shape) for name in ("x", "grad"))
    return 2 * x + 0.7, 1 + 0.4 * draw("weight", c), grad + 0.3


def right(x, weight, grad, eps=1e-5):
    """What torch gives: y, and the gradients by autograd."""
    leaves = [t.detach().clone().requires_grad_() for t in (x, weight)]
    y = F.rms_norm(leaves[0], (x.size(-1),), leaves[1], eps)
    return y.detach(), torch.autograd.grad(y, leaves, grad)


def norm(solution, x, weight, *eps):
    return assert_tensor(solution.rms_norm(x, weight, *eps), "rms_norm(x, weight)")


def back(solution, grad, x, weight, *eps):
    """The two gradients, after a look at their form."""
    what = "rms_norm_backward(grad, x, weight)"
    found = solution.rms_norm_backward(grad, x, weight, *eps)
    two = isinstance(found, tuple | list) and len(found) == 2
    observe(f"{what} returns two", two)
    if not two:
        size = f" of {len(found)}" if isinstance(found, tuple | list) else ""
        fail(
            f"{what} should return two tensors:", expected="(grad_x, grad_weight)", got=type(found).__name__ + size,
            because="x and weight have a gradient each, in this order; there is no bias.",
        )
    for name, g, shape in zip(NAMES, found, (x.shape, weight.shape), strict=True):
        assert_shape(
            g, shape, f"{name} of {what}",
            because="grad_x has the shape of x; grad_weight is (C,), a sum over all rows.",
        )
    return found


def assert_gradients(solution, given, when, because, *, eps=(), tolerance=1e-4, least=1.0, scale=1.0):
    """Check both against autograd's, that of the weight first.

    Args:
        least: the tolerance of what is near 0, in units of `tolerance`.
        scale: how large grad_x is about; that tolerance is in proportion.
    """
    x, weight, grad = given
    exact = torch.promote_types(x.dtype, torch.float32)
    _, wanted = right(x.to(exact), weight.to(exact), grad.to(exact), *eps)
    found = back(solution, grad, x, weight, *eps)
    for i in (1, 0):
        assert_close(
            found[i].to(exact), wanted[i], f"{NAMES[i]} of rms_norm_backward {when}", because=because,
            atol=least * tolerance * (scale if i == 0 else 1), rtol=tolerance,
        )


# --- rms_norm ------------------------------------------------------------------------------------


@SHAPES
def test_rms_norm_keeps_the_shape(solution, lead):
    x, weight, _ = draws(*lead)
    assert_shape(
        norm(solution, x, weight), (*lead, C), "rms_norm(x, weight)",
        because="Each number of x has one in y; the leading axes are any number, or none.",
    )


def test_rms_norm_leaves_its_inputs_alone(solution):
    assert_input_untouched(solution.rms_norm, *draws(B, T)[:2], what="rms_norm")


def test_rms_norm_gives_each_row_the_mean_square_one(solution):
    x, weight, _ = draws(B, T)
    y = norm(solution, 100 * x, torch.ones_like(weight))
    observe("rms_norm of rows of several hundred, with weight 1", y)
    assert_close(
        y.square().mean(-1), torch.ones_like(y[..., 0]),
        "the mean square of each row of rms_norm, for rows of several hundred, with weight 1,",
        because="Each row is divided by the root of its own mean square, over the C numbers of the last axis, and eps "
        "is nothing beside it here.",
    )


def test_rms_norm_only_stretches_a_row(solution):
    x, weight, _ = draws(B, T)
    ratio = norm(solution, x, torch.ones_like(weight)) / x
    observe("rms_norm with weight 1, divided by x,", ratio)
    assert_close(
        ratio, ratio[..., :1].expand_as(x), "rms_norm with weight 1, divided by x,",
        because="All numbers of a row are divided by the same root. RMSNorm does not center: no mean is subtracted.",
        rtol=1e-4,
    )


@SHAPES
def test_rms_norm_is_that_of_torch(solution, lead):
    x, weight, grad = draws(*lead)
    assert_close(
        norm(solution, x, weight), right(x, weight, grad)[0], f"rms_norm of x {(*lead, C)}",
        because="F.rms_norm gives the expected value: x / sqrt(mean(x * x) + eps) * weight, row by row.",
    )


@pytest.mark.parametrize("eps", [(), (1e-5,), (0.5,)], ids=["default", "1e-5", "0.5"])
@pytest.mark.parametrize("size", [1.0, 1e-2], ids=str)
def test_rms_norm_adds_eps_under_the_root(solution, eps, size):
    x, weight, grad = draws(B, T)
    told = f"eps={eps[0]}" if eps else "the default eps"
    assert_close(
        norm(solution, size * x, weight, *eps), right(size * x, weight, grad, *(eps or (1e-5,)))[0],
        f"rms_norm with {told} of rows of numbers around {2 * size:g}",
        because="eps, 1e-5 unless given, is added to the mean square, and the root is taken of both together.",
    )


def test_a_row_of_zeros_stays_zero(solution):
    x, weight, _ = draws(T)
    assert_close(
        norm(solution, torch.zeros_like(x), weight), torch.zeros_like(x), "rms_norm of rows of zeros",
        because="0 / sqrt(0 + eps) is 0; without eps it is 0 / 0.",
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rms_norm_answers_in_the_type_of_x(solution, dtype):
    x, weight, _ = (t.to(dtype) for t in draws(B, T))
    assert_equal(
        str(norm(solution, x, weight).dtype), str(dtype), f"the dtype of rms_norm for inputs in {dtype}",
        because="y comes in the dtype of x, in whatever type it was computed.",
    )


def test_rms_norm_computes_float64_in_float64(solution):
    x, weight, grad = (t.double() for t in draws(B, T))
    assert_close(
        norm(solution, x, weight), right(x, weight, grad)[0], "rms_norm in float64",
        because="float64 has 16 digits, and a step through float32 leaves 7 of them.", atol=1e-10, rtol=1e-10,
    )


@pytest.mark.parametrize("size", [1.0, 300.0])
@pytest.mark.parametrize(("dtype", "tolerance"), HALF, ids=["bfloat16", "float16"])
def test_rms_norm_computes_half_precision_in_float32(solution, dtype, tolerance, size):
    x, weight, grad = (t.to(dtype) for t in draws(B, T))
    x = size * x
    assert_close(
        norm(solution, x, weight).float(), right(x.float(), weight.float(), grad.float())[0],
        f"rms_norm in {dtype} of numbers around {2 * size:g}, compared with float32 for the same numbers,",
        because="Mean square and root are computed in float32, and only y is rounded: the squares of several hundred "
        "are inf in float16.", atol=tolerance / 50, rtol=tolerance,
    )



def test_rms_norm_does_not_mind_the_layout(solution):
    x, weight, _ = draws(B, T)
    assert_layout_is_free(lambda x: norm(solution, x, weight), x, what="rms_norm of an x that is not contiguous")


# --- rms_norm_backward ---------------------------------------------------------------------------


@SHAPES
def test_rms_norm_backward_gives_two_gradients(solution, lead):
    x, weight, grad = draws(*lead)
    back(solution, grad, x, weight)


def test_rms_norm_backward_leaves_its_inputs_alone(solution):
    x, weight, grad = draws(B, T)
    assert_input_untouched(solution.rms_norm_backward, grad, x, weight, what="rms_norm_backward")


@SHAPES
def test_the_gradient_of_rms_norms_weight_sums_the_rows(solution, lead):
    x, weight, grad = draws(*lead)
    assert_close(
        back(solution, grad, x, weight)[1], right(x, weight, grad)[1][1],
        f"grad_weight of rms_norm_backward for x {(*lead, C)}",
        because="In every row the weight multiplies n, so its gradient is the sum over all rows of grad * n: n as it "
        "was before the weight.", atol=1e-4,
    )


def test_stretching_a_row_changes_nothing_after_rms_norm(solution):
    x, weight, grad = draws(B, T)
    x = 100 * x
    slope = (back(solution, grad, x, weight)[0] * x).sum(-1)
    observe("grad_x of rms_norm_backward times x", slope)
    assert_close(
        slope, torch.zeros_like(slope), "the sum of grad_x * x over each row, for rms_norm_backward and rows of "
        "several hundred,",
        because="A row that is multiplied by a number gives the same y, as far as eps is nothing beside its mean "
        "square, so grad_x has no part along the row: the way through the root takes it off.", atol=1e-3,
    )


@SHAPES
def test_the_gradient_of_rms_norm_is_autograds(solution, lead):
    x, weight, grad = draws(*lead)
    assert_close(
        back(solution, grad, x, weight)[0], right(x, weight, grad)[1][0],
        f"grad_x of rms_norm_backward for x {(*lead, C)}",
        because="Autograd gives the expected value: what x does directly and through the root of its own row, both "
        "with grad * weight. There is no mean that it could act through.", atol=1e-4,
    )


@pytest.mark.parametrize("eps", [(), (1e-5,), (0.5,)], ids=["default", "1e-5", "0.5"])
@pytest.mark.parametrize("size", [1.0, 1e-2], ids=str)
def test_rms_norm_backward_has_the_eps_of_the_forward(solution, eps, size):
    x, weight, grad = draws(B, T)
    told = f"eps={eps[0]}" if eps else "the default eps"
    assert_gradients(
        solution, (size * x, weight, grad), f"with {told} of numbers around {2 * size:g}",
        "eps stands under the same root as in rms_norm, 1e-5 unless given, and is a constant on the way back.",
        eps=eps, scale=1 / size,
    )


@pytest.mark.parametrize("c", [1, C])
def test_gradients_of_zeros_are_finite(solution, c):
    x, weight, grad = draws(T, c=c)
    assert_gradients(
        solution, (torch.zeros_like(x), weight, grad), f"for rows of {c} zeros",
        "With a mean square of 0 the root is sqrt(eps), and nothing is divided by 0.", scale=300,
    )


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rms_norm_backward_answers_in_the_types_it_is_given(solution, dtype):
    x, weight, grad = (t.to(dtype) for t in draws(B, T))
    assert_equal(
        [str(g.dtype) for g in back(solution, grad, x, weight)], [str(dtype)] * 2,
        f"the list of dtypes of rms_norm_backward for inputs in {dtype}",
        because="grad_x comes in the dtype of x, grad_weight in that of weight.",
    )


def test_rms_norm_backward_computes_float64_in_float64(solution):
    assert_gradients(
        solution, [t.double() for t in draws(B, T)], "in float64",
        "float64 has 16 digits, and a step through float32 leaves 7 of them.", tolerance=1e-10,
    )


@pytest.mark.parametrize("size", [1.0, 300.0])
@pytest.mark.parametrize(("dtype", "tolerance"), HALF, ids=["bfloat16", "float16"])
def test_rms_norm_backward_computes_half_precision_in_float32(solution, dtype, tolerance, size):
    x, *others = (t.to(dtype) for t in draws(B, T))
    assert_gradients(
        solution, (size * x, *others), f"in {dtype} for numbers around {2 * size:g}",
        "All is computed in float32, and only the two results are rounded: squares of several hundred are inf in "
        "float16, and sums of rounded numbers are off.", tolerance=tolerance, least=0.02, scale=1 / size,
    )



def test_rms_norm_backward_does_not_mind_the_layout(solution):
    x, weight, grad = draws(B, T)
    for i, name in enumerate(NAMES):
        assert_layout_is_free(
            lambda grad, x, i=i: back(solution, grad, x, weight)[i], grad, x,
            what=f"{name} of rms_norm_backward for x and grad that are not contiguous",
        )


# --- from call to call ---------------------------------------------------------------------------


def test_rms_norm_keeps_nothing_for_the_next_call(solution):
    x, weight, grad = draws(4, 5, c=9)
    solution.rms_norm(*draws(B, T)[:2])
    first = norm(solution, x, weight)
    assert_close(
        first, right(x, weight, grad)[0], "rms_norm, after a call with x of another size,",
        because="Each call answers for what it is given.",
    )
    before = first.clone()
    solution.rms_norm(x + grad, weight)
    assert_identical(first, before, "rms_norm's y, after the next call,", because="Each call makes a new tensor.")


def test_rms_norm_backward_needs_no_forward_before_it(solution):
    x, weight, grad = draws(B, T)
    solution.rms_norm(x, weight)
    solution.rms_norm_backward(grad, x, weight)
    assert_gradients(
        solution, draws(4, 5, c=9), "after calls with an x of another size",
        "It computes from its arguments alone: nothing that rms_norm or an earlier call saw has a part in it.",
    )


class Attached(TorchFunctionMode):
    """Notes whether any operation had a result that requires a gradient."""

    seen = False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.seen |= isinstance(result, torch.Tensor) and result.requires_grad
        return result


def test_rms_norm_backward_uses_no_autograd(solution):
    x, weight, grad = draws(B, T)
    with Attached() as attached:
        solution.rms_norm_backward(grad, x, weight)
    assert_true(
        not attached.seen, "in rms_norm_backward a tensor requires a gradient, though none of its inputs does",
        because="It is to be worked out by hand, without autograd.",
    )
