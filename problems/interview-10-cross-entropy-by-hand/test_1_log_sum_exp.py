"""Interview 10, first part: what log_sum_exp promises, from cause to consequence.

Shapes: B batch, T rows, V numbers in a row.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    observe,
)
from common.testing.attending import assert_works_elsewhere

B, T, V = 2, 5, 13
AXES = {"B": B, "T": T, "V": V}
INF = float("inf")


def numbers():
    return 2 * draw("x", B=B, T=T, V=V) + 0.5


def summed(solution, x, *dim):
    return assert_tensor(solution.log_sum_exp(x, *dim), "log_sum_exp(x)")


# --- what it returns, and what it leaves alone ---------------------------------------------------


@pytest.mark.parametrize(("dim", "shape"), [(-1, (B, T)), (1, (B, V)), (0, (T, V)), (-2, (B, V))])
def test_the_axis_that_is_summed_is_gone(solution, dim, shape):
    assert_shape(
        summed(solution, numbers(), dim), shape, f"log_sum_exp of x {(B, T, V)} along dim={dim}",
        because="One number is left of each row along dim, and no axis of size 1 in its place.",
    )


def test_log_sum_exp_leaves_its_input_alone(solution):
    x = numbers()
    x[0, 1, 2:] = -INF
    x[1, 1] = -INF
    assert_input_untouched(solution.log_sum_exp, x, what="log_sum_exp")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_log_sum_exp_answers_in_the_type_of_x(solution, dtype):
    assert_equal(
        str(summed(solution, numbers().to(dtype)).dtype), str(dtype), f"the dtype of log_sum_exp for x in {dtype}",
        because="The result comes in the dtype of x, as torch.logsumexp gives it.",
    )


# --- the numbers ---------------------------------------------------------------------------------


def test_equal_numbers_add_the_logarithm_of_their_count(solution):
    x = numbers()[..., :1].expand(B, T, V).contiguous()
    right = x[..., 0] + torch.full((), float(V), device=x.device).log()
    assert_close(
        summed(solution, x), right, f"log_sum_exp of rows of {V} equal numbers",
        because="V times exp(x) has the logarithm x + log(V): exponentials first, then their sum, then the logarithm.",
    )


@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_log_sum_exp_is_that_of_torch(solution, dim):
    x = numbers()
    assert_close(
        summed(solution, x, dim), torch.logsumexp(x, dim), f"log_sum_exp along dim={dim}",
        because="torch.logsumexp gives the expected value, log(sum(exp(x))) of each row along dim.",
    )


def test_without_dim_it_is_the_last_axis(solution):
    x = numbers()
    assert_close(
        summed(solution, x), torch.logsumexp(x, -1), "log_sum_exp(x)",
        because="The signature is log_sum_exp(x, dim=-1).",
    )


@pytest.mark.parametrize("size", [100.0, 1e4, -1e4, 3e38], ids=str)
def test_no_number_overflows_or_vanishes(solution, size):
    x = draw("x", B=B, T=T, V=V).clamp(-3, 3) + size
    right = torch.logsumexp(x.double(), -1)
    got = summed(solution, x)
    observe(f"log_sum_exp of numbers around {size:g}", got)
    assert_true(
        bool(got.isfinite().all()), f"log_sum_exp of numbers around {size:g} is infinite or NaN",
        because="exp is inf above 88 and 0 below -104, and the logarithm of either is infinite. The highest number of "
        "a row may be taken out of all its exponents, and is added to the result.",
    )
    assert_close(
        got.double(), right, f"log_sum_exp of numbers around {size:g}",
        because="What is taken out of all exponents of a row is added to the result again.", rtol=1e-6, atol=2e-3,
    )


def test_each_row_has_a_highest_number_of_its_own(solution):
    x = numbers()
    x[0] += 400
    x[1, 2] -= 500
    assert_close(
        summed(solution, x), torch.logsumexp(x, -1), "log_sum_exp of rows that lie hundreds apart",
        because="exp of a row that lies 200 below the number taken out of it is 0 all over: each row takes out its "
        "own.", atol=1e-3,
    )


def test_minus_infinity_counts_nothing(solution):
    x = numbers()
    right = torch.logsumexp(x[..., :4], -1)
    x[..., 4:] = -INF
    assert_close(
        summed(solution, x), right, "log_sum_exp of rows with -inf behind the first 4 numbers",
        because="exp(-inf) is 0, so it is the log-sum-exp of the numbers that are left.",
    )


@pytest.mark.parametrize("dim", [-1, 0])
def test_nothing_but_minus_infinity_gives_minus_infinity(solution, dim):
    x = numbers()
    x[:, 2] = -INF
    assert_close(
        summed(solution, x, dim), torch.logsumexp(x, dim), f"log_sum_exp along dim={dim} with -inf in all of row 2",
        because="The logarithm of a sum of zeros is -inf. -inf - -inf is NaN, so a highest number of -inf is not to be "
        "subtracted.",
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.02), (torch.float16, 0.003)], ids=str)
@pytest.mark.parametrize("size", [0.0, 1e4, -1e4])
def test_log_sum_exp_works_in_half_precision(solution, dtype, tolerance, size):
    x = (numbers() + size).to(dtype)
    assert_close(
        summed(solution, x).float(), torch.logsumexp(x.float(), -1),
        f"log_sum_exp in {dtype} of numbers around {size:g}, compared with float32 for the same numbers,",
        because="Only rounding may differ: exp overflows float16 above 11, which no exponent reaches once the highest "
        "number is taken out.", atol=tolerance, rtol=tolerance,
    )


def test_log_sum_exp_computes_float64_in_float64(solution):
    x = numbers().double()
    assert_close(
        summed(solution, x), torch.logsumexp(x, -1), "log_sum_exp in float64", atol=1e-10, rtol=1e-10,
        because="float64 has 16 digits, and a step through float32 leaves 7 of them.",
    )


def test_log_sum_exp_works_on_another_device(solution):
    assert_works_elsewhere(solution.log_sum_exp, numbers(), what="log_sum_exp")
