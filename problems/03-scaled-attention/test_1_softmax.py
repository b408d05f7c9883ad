"""Problem 03, the softmax: what softmax promises, from cause to consequence.

Shapes: B, T and S are three axes of scores, of different size.
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
from common.testing.comparisons import assert_gradients_of

B, T, S = 4, 3, 5
AXES: dict[str, int] = {}  # as they are drawn


def scores_of(*lead):
    return draw("scores", *lead, T=T, S=S)


# --- what others stand on ------------------------------------------------------------------------


def test_softmax_runs_along_the_last_axis_unless_you_say_otherwise(solution):
    named = assert_tensor(solution.softmax(scores_of(B), dim=-1), "softmax(scores, dim=-1)")
    assert_close(
        solution.softmax(scores_of(B)), named, "softmax(scores) without dim, compared with your own for dim=-1,",
        because="The default of dim is -1, the last axis.",
    )  # fmt: skip


@pytest.mark.parametrize("dim", [-1, 0, 1, 2])
def test_softmax_keeps_the_shape(solution, dim):
    out = assert_tensor(solution.softmax(scores_of(B), dim=dim), "softmax(scores)")
    because = "A softmax gives one number for each score, in its place."
    if sorted(out.shape) == sorted((B, T, S)):
        because += " An axis that was moved has to be moved back: after movedim(x, dim, -1) comes movedim(x, -1, dim)."
    assert_shape(out, (B, T, S), f"softmax(scores, dim={dim})", because=because)


def test_softmax_leaves_its_input_alone(solution):
    assert_input_untouched(solution.softmax, scores_of(), what="softmax")


def test_softmax_gives_numbers(solution):
    weights = assert_tensor(solution.softmax(scores_of(B)), "softmax(scores)")
    assert_true(
        bool(weights.isfinite().all()), "some results of softmax are NaN or infinite for ordinary scores",
        because="exp(score) is above 0, and so is the sum that it is divided by: both are finite numbers.",
    )  # fmt: skip


def test_softmax_takes_scores_that_are_not_contiguous(solution):
    scores = scores_of(B).transpose(0, 1)
    plain = solution.softmax(scores.contiguous())
    assert_close(
        solution.softmax(scores), plain, "softmax of non-contiguous scores",
        because="The same numbers lie in memory in another order, which view minds and reshape does not.",
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_softmax_works_in_other_precisions(solution, dtype):
    scores = scores_of(B)
    plain = assert_tensor(solution.softmax(scores), "softmax(scores)")
    weights = assert_tensor(solution.softmax(scores.to(dtype)), "softmax(scores)")
    assert_equal(
        str(weights.dtype), str(dtype), f"the dtype of softmax for scores in {dtype}",
        because="The result comes in the type of the scores.",
    )  # fmt: skip
    assert_close(
        weights.to(plain.dtype), plain, f"softmax of scores in {dtype}, compared with yours in float32,", atol=0.03,
        because=f"In {dtype} only rounding may differ: no number on the way may be too large, or too small, for that "
        "type.",
    )  # fmt: skip


def test_softmax_works_on_another_device(solution):
    assert_works_elsewhere(solution.softmax, scores_of(B), what="softmax")


# --- what it gives -------------------------------------------------------------------------------


def test_softmax_is_never_negative(solution):
    weights = assert_tensor(solution.softmax(scores_of(B)), "softmax(scores)")
    observe("softmax(scores)", weights)
    assert_true(
        bool((weights >= 0).all()), "softmax gives negative numbers",
        because="It is exp(score), which is never negative, divided by a sum of such numbers.",
    )  # fmt: skip


@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_softmax_sums_to_one_along_its_axis(solution, dim):
    weights = assert_tensor(solution.softmax(scores_of(B), dim=dim), f"softmax(scores, dim={dim})")
    observe("softmax(scores)", weights)
    sums = weights.sum(dim)
    assert_close(
        sums, torch.ones_like(sums), f"the sum of softmax(scores, dim={dim}) along axis {dim}",
        because="Each exp(score) is divided by the sum of those that lie with it along dim.",
    )  # fmt: skip


def test_softmax_turns_differences_into_ratios(solution):
    scores = torch.tensor([[0.0, 1.0, 3.0, 2.0, -1.0]], device=draw("d", 1).device)
    weights = assert_tensor(solution.softmax(scores), "softmax(scores)")
    assert_close(
        weights / weights[:, :1], scores.exp(), "the ratios of the weights of scores 0, 1, 3, 2 and -1 to the first",
        because="Scores that differ by d have weights in the ratio e^d, whatever the others are.",
    )  # fmt: skip


@pytest.mark.parametrize("dim", [-1, 0, 1, -2, 2])
def test_softmax_runs_along_the_axis_it_is_given(solution, dim):
    scores = scores_of(B)
    right = torch.softmax(scores, dim)
    assert_close(
        solution.softmax(scores, dim=dim), right, f"softmax(scores, dim={dim})",
        because="torch.softmax along that axis gives the expected value; the maximum and the sum both run along dim.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1e2, 1e4, -1e4])
def test_softmax_does_not_overflow(solution, size):
    scores = size + scores_of()
    right = torch.softmax(scores, -1)
    assert_close(
        solution.softmax(scores), right, f"softmax of scores around {size:g}",
        because="exp overflows above 88 and is 0 below -104. The same number taken from all scores of a row changes "
        "nothing in the result, and with the row's maximum no exponent is above 0, and one is 0.",
        rtol=2e-3,  # float32's numbers lie 1e-3 apart at 1e4, and a softmax through logsumexp rounds there
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_large_scores_share_in_half_precision_too(solution, dtype):
    scores = draw("d", 1).new_tensor([[1e4, 1e4, -1e4], [-1e4, 1e4, 1e4]]).to(dtype)
    assert_close(
        assert_tensor(solution.softmax(scores), "softmax(scores)").float(), (scores > 0).float() / 2,
        f"softmax of scores of 1e4 and -1e4 in {dtype}",
        because=f"Two scores that are equally large share: 1/2 each. Near 1e4 the numbers of {dtype} lie further apart "
        "than 1, so nothing small, such as the logarithm of the sum, can be added to a score before exp: subtract the "
        "maximum, take exp, divide by the sum.", atol=2e-3,
    )  # fmt: skip


def test_each_row_subtracts_its_own_maximum(solution):
    scores = scores_of()
    scores[0] += 500
    scores[2] -= 500
    right = torch.softmax(scores, -1)
    assert_close(
        solution.softmax(scores), right, "softmax of rows that lie 500 apart",
        because="Each row is a softmax of its own, with a maximum of its own: what one row holds is no business of "
        "the others.",
    )  # fmt: skip


def test_softmax_takes_minus_infinity_as_never(solution):
    scores = scores_of()
    scores[:, 1] = -torch.inf
    scores[0, 2:] = -torch.inf
    right = torch.softmax(scores, -1)
    assert_close(
        solution.softmax(scores), right, "softmax of scores with some at -inf",
        because="exp(-inf) is 0, and the others share the rest. inf - inf and 0 * inf are NaN: what is taken from the "
        "scores has to be finite, as a row's maximum is.",
    )  # fmt: skip


@pytest.mark.parametrize("dim", [-1, 0])
def test_softmax_passes_the_gradient(solution, dim):
    assert_gradients_of(
        lambda scores: solution.softmax(scores, dim=dim), lambda scores: torch.softmax(scores, dim),
        {"the scores": scores_of(B)},
        because=f"It is the slope of the softmax along dim={dim}: raising one score raises its weight and lowers all "
        "others along that axis.",
    )  # fmt: skip


def test_softmax_keeps_nothing_from_call_to_call(solution):
    first, then = scores_of(B), draw("others", B, T=T, S=S)
    right = torch.softmax(then, -1)
    solution.softmax(first)
    assert_close(
        solution.softmax(then), right, "softmax of scores, after a softmax of others,",
        because="The result follows from the scores that are given, and from nothing that came before.",
    )  # fmt: skip
