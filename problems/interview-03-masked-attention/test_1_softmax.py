"""Interview 03, the softmax: what masked_softmax promises, from cause to consequence.

Shapes: B batch, T rows, S scores in a row.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    observe,
)
from common.testing.attending import AsModule, assert_works_elsewhere
from common.testing.comparisons import assert_gradients_of
from common.testing.dtypes import assert_half_precision

B, T, S = 2, 5, 7
AXES: dict[str, int] = {}  # as they are drawn


def scores_of(*lead):
    return draw("scores", *lead, T=T, S=S)


def mask_of(*shape):
    """About two thirds True, and at least one True along every axis."""
    mask = draw("mask", *shape) > -0.4
    for i, size in enumerate(shape):  # a diagonal, so that no row is empty
        if i:
            places = torch.arange(max(shape[i - 1], size), device=mask.device)
            mask.movedim((i - 1, i), (0, 1))[places % shape[i - 1], places % size] = True
    return mask


def hidden(scores, mask, dim=-1):
    """What torch gives; for rows that are not empty."""
    return torch.softmax(scores.masked_fill(~mask, -torch.inf), dim)


def weights_of(solution, scores, mask, **options):
    return assert_tensor(solution.masked_softmax(scores, mask, **options), "masked_softmax(scores, mask)")


# --- what others stand on ------------------------------------------------------------------------


def test_there_is_a_weight_for_each_score(solution):
    assert_shape(
        weights_of(solution, scores_of(B), mask_of(B, T, S)), (B, T, S), "masked_softmax(scores, mask)",
        because="The weights come in the shape of the scores.",
    )  # fmt: skip


def test_masked_softmax_leaves_its_inputs_alone(solution):
    assert_input_untouched(solution.masked_softmax, scores_of(), mask_of(T, S), what="masked_softmax")


def test_every_weight_is_a_number(solution):
    weights = weights_of(solution, scores_of(B), mask_of(B, T, S))
    observe("masked_softmax(scores, mask)", weights)
    assert_true(
        bool(weights.isfinite().all()), "some weights are NaN or infinite, though no row is empty",
        because="The visible scores of a row are finite, so the sum of their exp is above 0. NaN is what 0 / 0, "
        "inf - inf and 0 * inf give: nothing is multiplied with -inf.",
    )  # fmt: skip


def test_masked_softmax_works_in_half_precision(solution):
    assert_half_precision(AsModule(solution.masked_softmax), scores_of(), mask_of(T, S))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_masked_softmax_answers_in_the_type_of_the_scores(solution, dtype):
    weights = weights_of(solution, scores_of().to(dtype), mask_of(T, S))
    assert_equal(
        str(weights.dtype), str(dtype), f"the dtype of masked_softmax for scores in {dtype}",
        because="The weights come in the type of the scores.",
    )  # fmt: skip


def test_masked_softmax_works_on_another_device(solution):
    assert_works_elsewhere(solution.masked_softmax, scores_of(), mask_of(T, S), what="masked_softmax")


# --- which positions get which weight ------------------------------------------------------------


@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_without_a_hidden_position_it_is_softmax(solution, dim):
    scores = scores_of(B)
    right = torch.softmax(scores, dim)
    everything = torch.ones(B, T, S, dtype=torch.bool, device=scores.device)
    assert_close(
        weights_of(solution, scores, everything, dim=dim), right,
        f"masked_softmax with a mask of True only and dim={dim}",
        because="True means that a position may be seen, so this is torch.softmax along dim.",
    )  # fmt: skip


def test_dim_is_the_last_axis_unless_you_say_otherwise(solution):
    scores, mask = scores_of(), mask_of(T, S)
    named = weights_of(solution, scores, mask, dim=-1)
    assert_identical(
        weights_of(solution, scores, mask), named, "masked_softmax(scores, mask)",
        because="The signature is masked_softmax(scores, mask, dim=-1).",
    )  # fmt: skip


def test_hidden_positions_get_exactly_zero(solution):
    mask = mask_of(B, T, S)
    visible = mask.clone()
    weights = weights_of(solution, scores_of(B), mask)
    observe("masked_softmax(scores, mask)", weights)
    assert_close(
        weights[~visible], torch.zeros(int((~visible).sum()), device=weights.device),
        "the list of weights where the mask is False", atol=0.0,
        because="True means may attend. A hidden score counts as -inf, and exp(-inf) is exactly 0; exp of any other "
        "number is not.",
    )  # fmt: skip


def test_visible_positions_share_out_all_the_weight(solution):
    weights = weights_of(solution, scores_of(B), mask_of(B, T, S))
    observe("masked_softmax(scores, mask)", weights)
    assert_close(
        weights.sum(-1), torch.ones(B, T, device=weights.device), "the sum of each row",
        because="The weights of the visible positions sum to 1, so the hidden ones are left out before the sum is "
        "taken.",
    )  # fmt: skip
    scores, mask = scores_of(B), mask_of(B, T, S)
    mask[0, 2], mask[1, 2] = True, False  # along the last axis nothing of it is visible, along dim 0 half
    assert_close(
        weights_of(solution, scores, mask, dim=0), hidden(scores, mask, 0),
        "masked_softmax with dim=0 and a row that is hidden from end to end",
        because="Along `dim` the visible positions get their softmax. Only a line along dim that has none is empty.",
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(B, T, S), (S,), (T, S), (B, 1, S), (1, 1, S)], ids=str)
def test_the_mask_broadcasts_to_the_scores(solution, shape):
    scores, mask = scores_of(B), mask_of(*shape)
    right = hidden(scores, mask)
    assert_close(
        weights_of(solution, scores, mask), right, f"masked_softmax for scores of {(B, T, S)} and a mask of {shape}",
        because="It is torch.softmax of the scores with -inf where the mask is False; axes that the mask lacks, or has "
        "as 1, hold for all.",
    )  # fmt: skip


@pytest.mark.parametrize(("dim", "shape"), [(0, (T, S)), (1, (T, S)), (2, (S,))], ids=str)
def test_the_axis_is_that_of_the_scores_where_the_mask_has_fewer(solution, dim, shape):
    scores, mask = scores_of(B), mask_of(*shape)
    mask[..., -1] = False
    right = torch.nan_to_num(hidden(scores, mask, dim))  # a row that sees nothing
    assert_close(
        weights_of(solution, scores, mask, dim=dim), right, f"masked_softmax along dim={dim} for a mask of {shape}",
        because="dim counts the axes of scores. A mask with fewer has other numbers for them: let it take the shape of "
        "scores first, mask.expand_as(scores), before it is asked along an axis.",
    )  # fmt: skip


@pytest.mark.parametrize("dim", [0, 1, -2])
def test_it_runs_along_the_axis_it_is_given(solution, dim):
    scores, mask = scores_of(B), mask_of(B, T, S)
    mask[0] = True  # a True in every row, whatever the axis
    mask[:, 0] = True
    right = hidden(scores, mask, dim)
    assert_close(
        weights_of(solution, scores, mask, dim=dim), right, f"masked_softmax with dim={dim}",
        because="The highest score and the sum both run along dim.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1e2, 1e4, -1e4])
def test_large_scores_do_not_overflow(solution, size):
    scores, mask = size + scores_of(), mask_of(T, S)
    right = hidden(scores, mask)
    assert_close(
        weights_of(solution, scores, mask), right, f"masked_softmax of scores around {size:g}",
        because="exp overflows above 88 and is 0 below -104. The same number taken from all scores of a row changes "
        "nothing, and with the highest visible one no exponent is above 0; a hidden score is lower than any other.",
        rtol=2e-3,  # float32's numbers lie 1e-3 apart at 1e4, and a softmax through logsumexp rounds there
    )  # fmt: skip


def test_each_row_subtracts_its_own_highest_score(solution):
    scores, mask = scores_of(), mask_of(T, S)
    scores[0] += 500
    scores[2] -= 500
    right = hidden(scores, mask)
    assert_close(
        weights_of(solution, scores, mask), right, "masked_softmax of rows that lie 500 apart",
        because="Each row is a softmax of its own, with a highest score of its own.",
    )  # fmt: skip


def test_a_high_score_that_is_hidden_does_not_matter(solution):
    scores, mask = scores_of(), mask_of(T, S)
    right = hidden(scores, mask)
    assert_close(
        weights_of(solution, torch.where(mask, scores, 1e4), mask), right,
        "masked_softmax with scores of 1e4 at hidden positions",
        because="Hidden positions get 0 whatever their score, and the visible ones are as without them: neither the "
        "highest score nor the sum may count what is hidden.",
    )  # fmt: skip


# --- a row in which nothing may be seen ----------------------------------------------------------

EMPTY = {"a row of the mask": (T, S), "a row, given once for all columns": (T, 1), "everything": (1,)}


@pytest.mark.parametrize("which", EMPTY)
def test_a_row_without_a_true_is_all_zeros(solution, which):
    scores = scores_of()
    mask = torch.ones(EMPTY[which], dtype=torch.bool, device=scores.device)
    mask[2 if mask.ndim > 1 else 0] = False
    right = torch.where(mask.expand(T, S), torch.softmax(scores, -1), 0.0)
    assert_close(
        weights_of(solution, scores, mask), right, f"masked_softmax with False for {which}",
        because="Where nothing may be attended to every weight is 0. A highest score of -inf gives -inf - -inf, a sum "
        "of 0 gives 0 / 0, and both are NaN; equal low numbers in place of -inf share the weight evenly.",
    )  # fmt: skip


def test_an_empty_row_lies_along_dim(solution):
    scores = scores_of()
    mask = torch.ones(S, dtype=torch.bool, device=scores.device)
    mask[3] = False
    right = torch.where(mask, torch.softmax(scores, 0), 0.0)
    assert_close(
        weights_of(solution, scores, mask, dim=0), right, "masked_softmax along dim=0 with a mask (S,) that hides "
            "column 3",
        because="Along dim=0 each column is a row of its own, and column 3 is an empty one, all 0.",
    )  # fmt: skip


# --- learning ------------------------------------------------------------------------------------


FIRST = {-1: "", 0: ": for dim=0 it is a column"}


@pytest.mark.parametrize("dim", [-1, 0])
def test_the_gradient_is_that_of_softmax(solution, dim):
    mask = mask_of(T, S)
    assert_gradients_of(
        lambda scores: weights_of(solution, scores, mask, dim=dim), lambda scores: hidden(scores, mask, dim),
        {f"the scores, for dim={dim},": scores_of()},
        because="It is the slope of the softmax, and 0 at hidden positions: raising one score raises its weight and "
        f"lowers the others in its row. A row lies along dim, on the way back as on the way there{FIRST[dim]}.",
    )  # fmt: skip


def test_a_high_score_that_is_hidden_does_not_spoil_the_gradient(solution):
    mask = mask_of(T, S)
    assert_gradients_of(
        lambda scores: weights_of(solution, scores, mask), lambda scores: hidden(scores, mask),
        {"the scores, 1e4 at hidden positions,": torch.where(mask, scores_of(), 1e4)},
        because="backward() passes through all that was computed: exp(1e4) is inf, and 0 * inf is NaN even where the "
        "result was replaced. What is hidden stays out of exp.",
    )  # fmt: skip


def test_the_gradient_of_an_empty_row_is_zero(solution):
    mask = mask_of(T, S)
    mask[2] = False
    some = mask.any(-1, keepdim=True)
    assert_gradients_of(
        lambda scores: weights_of(solution, scores, mask),
        lambda scores: torch.where(some, hidden(scores, mask | ~some), 0.0),
        {"the scores, with row 2 empty,": scores_of()},
        because="The weights of an empty row are 0 whatever its scores are, so nothing flows back to them. Numbers "
        "that are harmless from the start, as after a masked_fill of the scores, need no replacing.",
    )  # fmt: skip


def test_masked_softmax_keeps_nothing_from_call_to_call(solution):
    then, mask = draw("others", B, T=T, S=S), mask_of(T, S)
    right = hidden(then, mask)
    solution.masked_softmax(scores_of(B), mask_of(B, T, S))
    assert_close(
        weights_of(solution, then, mask), right, "masked_softmax, after a call with other scores and another mask,",
        because="The weights follow from the scores and the mask that are given, and from nothing that came before.",
    )  # fmt: skip
