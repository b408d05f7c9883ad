"""Problem 03, attention: what scaled_dot_product_attention promises, from cause to consequence.

Shapes: B batch, T tokens that ask, S tokens that are asked, D and E channels.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_repeatable,
    assert_shape,
    assert_true,
    draw,
    observe,
)
from common.testing.attending import (
    SideBySide,
    assert_scores,
    assert_works_elsewhere,
    pair_of,
)
from common.testing.attention import about_large_scores
from common.testing.comparisons import assert_gradients_of, assert_layout_is_free
from common.testing.dtypes import assert_half_precision

B, T, S, D, E = 4, 3, 5, 7, 9
AXES: dict[str, int] = {}  # as they are drawn
CALL = "scaled_dot_product_attention"


def inputs(*lead, t=T, s=S, d=D, e=E):
    return draw("query", *lead, T=t, D=d), draw("key", *lead, S=s, D=d), draw("value", *lead, S=s, E=e)


def some_mask(*lead, t=T, s=S, name="mask"):
    mask = draw(name, *lead, t, s) > 0
    mask[..., 0] = True  # no row is closed everywhere
    mask[..., 1, :] = False
    mask[..., 1, 2] = True  # a row with one open key
    return mask


def attend(solution, *inputs):
    return pair_of(solution.scaled_dot_product_attention(*inputs), CALL)


def side_by_side(solution):
    """The function as a module that returns output and weights in one tensor."""
    return SideBySide(solution.scaled_dot_product_attention, CALL)


def by_torch(query, key, value, mask=None):
    scores = query @ key.transpose(-2, -1) / query.size(-1) ** 0.5
    weights = torch.softmax(scores if mask is None else scores.masked_fill(~mask, -torch.inf), -1)
    return weights @ value, weights


# --- what others stand on ------------------------------------------------------------------------


def test_it_returns_two_tensors_output_and_weights(solution):
    output, weights = attend(solution, *inputs(B))
    assert_shape(
        weights, (B, T, S), "the second result, the weights,",
        because="The weights have a row for each query and a column for each key; the output comes first and they "
        "second.",
    )  # fmt: skip
    assert_shape(
        output, (B, T, E), "the first result, the output,",
        because="Each query gets one mixed value, with as many channels as the values have.",
    )  # fmt: skip


def test_inputs_and_mask_are_left_as_they_were(solution):
    assert_input_untouched(side_by_side(solution), *inputs(B), some_mask(B), what=CALL)


def test_it_is_repeatable(solution):
    assert_repeatable(side_by_side(solution), *inputs(B), some_mask(B), what=f"the result of {CALL}")


@pytest.mark.parametrize("masked", [False, True], ids=["without a mask", "with a mask"])
def test_every_weight_is_a_number(solution, masked):
    _, weights = attend(solution, *inputs(B), *([some_mask(B)] if masked else []))
    assert_true(
        bool(weights.isfinite().all()), "some weights are NaN or infinite for ordinary scores",
        because="No row of the mask is closed everywhere, so each sum is above 0. NaN is what 0 / 0, inf - inf and "
        "0 * inf give: a closed score is set to -inf, and nothing is multiplied with it.",
    )  # fmt: skip


def test_inputs_that_are_not_contiguous_give_the_same(solution):
    assert_layout_is_free(
        side_by_side(solution), *inputs(B), some_mask(B), what=f"the result of {CALL} for non-contiguous inputs",
    )  # fmt: skip


def test_heads_that_were_made_by_transpose_give_the_same(solution):
    heads = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in inputs(2, B)]
    out, _ = attend(solution, *heads)
    assert_close(
        out, by_torch(*heads)[0], "the output for heads (B, H, T, D) that transpose(1, 2) made of (B, T, H, D)",
        because="The same numbers lie in memory in another order: view cannot merge the axes of batch and heads then, "
        "reshape can, and nothing has to be merged.",
    )  # fmt: skip


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(side_by_side(solution), *inputs(B), some_mask(B), what=f"the result of {CALL}")
    _, weights = attend(solution, *(x.double() for x in inputs(B)), some_mask(B))
    assert_equal(
        str(weights.dtype), "torch.float64", "the dtype of the weights for inputs in float64",
        because="The weights come in the type of the inputs, as the output does.",
    )  # fmt: skip


@pytest.mark.parametrize("masked", [False, True], ids=["without a mask", "with a mask"])
def test_it_works_in_half_precision(solution, masked):
    assert_half_precision(side_by_side(solution), *inputs(B), *([some_mask(B)] if masked else []))
    _, weights = attend(solution, *(x.bfloat16() for x in inputs(B)), some_mask(B))
    assert_equal(
        str(weights.dtype), "torch.bfloat16", "the dtype of the weights for inputs in bfloat16",
        because="The weights come in the type of the inputs, as the output does.",
    )  # fmt: skip


def test_it_works_on_another_device(solution):
    assert_works_elsewhere(side_by_side(solution), *inputs(B), some_mask(B), what=CALL)


# --- the weights, and what they do ---------------------------------------------------------------


def test_each_row_of_weights_sums_to_one(solution):
    _, weights = attend(solution, *inputs(B))
    observe("the weights", weights)
    assert_close(
        weights.sum(-1), torch.ones(B, T, device=weights.device), "the sum of a row of weights",
        because="Each query shares out one unit of attention over the keys, which lie along the last axis.",
    )  # fmt: skip


def test_rows_are_queries_and_columns_are_keys(solution):
    order = torch.tensor([4, 0, 2])
    value = draw("value", S=S, E=E)
    key = torch.eye(S, device=value.device)
    _, weights = attend(solution, 50 * key[order.to(value.device)], key, value)
    observe("the weights", weights)
    assert_equal(
        weights.argmax(-1).tolist(), order.tolist(), "the list of best keys, query by query,",
        because="Row i holds the scores of query i with each of the keys: query @ key.mT. mT and transpose(-2, -1) "
        "swap two axes; reshape and view only cut the memory elsewhere.",
    )  # fmt: skip


@pytest.mark.parametrize(("t", "s", "d", "e"), [(3, 5, 7, 9), (2, 9, 6, 3), (6, 2, 16, 5)])
def test_scores_are_divided_by_the_root_of_the_channels(solution, t, s, d, e):
    query, key, value = inputs(B, t=t, s=s, d=d, e=e)
    scores = query @ key.transpose(-2, -1) / d**0.5
    _, weights = attend(solution, query, key, value)
    assert_scores(
        weights, scores, atol=1e-3, because=f"Score [i, j] is query i · key j / sqrt(D), where D is the {d} channels "
        f"of queries and keys; here are T = {t} queries, S = {s} keys and E = {e} channels of values, which have no "
        "say in it.",
    )  # fmt: skip


def test_the_output_mixes_the_values_by_the_weights(solution):
    query, key, value = inputs(B)
    right = value.clone()
    output, weights = attend(solution, query, key, value)
    assert_close(
        output, weights @ right, "the output, compared with your own weights @ value,",
        because="Row i of the output is the sum of weights[i, j] * value[j] over all keys j, with the weights as "
        "returned.",
    )  # fmt: skip


@pytest.mark.parametrize("lead", [(), (B,), (B, 2)], ids=["no batch", "one axis", "two axes"])
def test_any_leading_axes_are_kept(solution, lead):
    query, key, value = inputs(*lead)
    right = F.scaled_dot_product_attention(query, key, value)
    assert_close(
        attend(solution, query, key, value)[0], right, f"the output for a query of shape {tuple(query.shape)}",
        because="Only the last two axes take part, and all before them are batch; F.scaled_dot_product_attention gives "
        "the expected value.",
    )  # fmt: skip


# --- the mask ------------------------------------------------------------------------------------


def test_a_closed_key_gets_a_weight_of_exactly_zero(solution):
    mask = some_mask(B)
    opened = mask.clone()
    _, weights = attend(solution, *inputs(B), mask)
    observe("the weights", weights)
    closed = weights[~opened]
    assert_close(
        closed, torch.zeros_like(closed), "the weight of a key that the mask closes",
        because="The mask is True where a query may attend to a key. Where it is False the score is -inf before the "
        "softmax, and exp(-inf) is exactly 0, whatever the other scores are.",
        atol=0.0,
    )  # fmt: skip


def test_masked_rows_still_sum_to_one(solution):
    _, weights = attend(solution, *inputs(B), some_mask(B))
    observe("the weights", weights)
    assert_close(
        weights.sum(-1), torch.ones(B, T, device=weights.device), "the sum of a row of weights with a mask",
        because="The open keys share the whole unit of attention, so the closed ones are left out before the softmax "
        "sums.",
    )  # fmt: skip


def test_a_closed_key_and_its_value_have_no_effect_at_all(solution):
    query, key, value = inputs(B)
    mask = torch.ones(T, S, dtype=torch.bool, device=query.device)
    mask[:, 3] = False
    before, _ = attend(solution, query, key, value, mask)
    key[:, 3], value[:, 3] = 40.0, -7.0
    after, _ = attend(solution, query, key, value, mask)
    assert_close(
        after, before, "the output, after changing a key and a value that the mask closes,",
        because="A closed key must not be felt, not even through the sum in the softmax: its score is -inf, whatever "
        "it says.",
    )  # fmt: skip


def test_a_mask_that_is_open_everywhere_changes_nothing(solution):
    query, key, value = inputs(B)
    plain, _ = attend(solution, query, key, value)
    opened = torch.ones(T, S, dtype=torch.bool, device=query.device)
    assert_close(
        attend(solution, query, key, value, opened)[0], plain, "the output with a mask of True everywhere",
        because="True means may attend: such a mask closes nothing, so all is as without one.",
    )  # fmt: skip


@pytest.mark.parametrize("shape", ["S", "T,S", "B,T,S", "1,1,S", "B,1,S"])
def test_masks_of_any_broadcastable_shape_work(solution, shape):
    query, key, value = inputs(B)
    mask = draw("a mask", *({"B": B, "T": T, "S": S}.get(name, 1) for name in shape.split(","))) > 0
    mask[..., 0] = True
    # Not a softmax over -inf: written out, so that mask and weights are compared entry by entry.
    powers = (query @ key.transpose(-2, -1) / D**0.5).exp() * mask
    right = powers / powers.sum(-1, keepdim=True)
    right_output = right @ value
    output, weights = attend(solution, query, key, value, mask)
    because = "The mask broadcasts to (..., T, S): axes that it lacks, or has as 1, hold for all."
    assert_close(weights, right, f"the weights for a mask of shape ({shape})", because=because)
    assert_close(output, right_output, f"the output for a mask of shape ({shape})", because=because)


def test_several_heads_share_a_mask(solution):
    query, key, value = inputs(B, 2)
    mask = some_mask()
    right = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
    assert_close(
        attend(solution, query, key, value, mask)[0], right, "the output for two heads and one mask of shape (T, S)",
        because="The mask broadcasts over all leading axes; F.scaled_dot_product_attention gives the expected value.",
    )  # fmt: skip


def test_low_scores_do_not_open_a_closed_key(solution):
    query, key, value = inputs(B)
    mask = some_mask(B)
    opened = mask.clone()
    _, weights = attend(solution, -2e5 * query.abs(), key.abs(), value, mask)
    closed = weights[~opened]
    assert_close(
        closed, torch.zeros_like(closed), "the weight of a closed key when all scores are far below zero", atol=1e-12,
        because="Real scores can be as low as -100,000; a closed one is lower than any of them, at -inf before the "
        "softmax. Of low scores exp gives 0, and a sum of nothing but 0 divides into NaN.",
    )  # fmt: skip


def test_large_scores_do_not_overflow(solution):
    query, key, value = inputs(B)
    mask = some_mask(B)
    _, right = by_torch(80 * query, 80 * key, value, mask)
    _, weights = attend(solution, 80 * query, 80 * key, value, mask)
    assert_close(
        weights, right, "the weights for scores in the thousands",
        because=about_large_scores(weights),
        atol=2e-2,  # a score of 10,000 is rounded by 1e-3, which moves a weight by as much
    )  # fmt: skip


@pytest.mark.parametrize("then", ["another mask", "no mask", "another length"])
def test_nothing_is_kept_from_call_to_call(solution, then):
    t, s = (6, 8) if then == "another length" else (T, S)
    qkv = inputs(B, t=t, s=s)
    mask = [] if then == "no mask" else [some_mask(B, t=t, s=s, name="another mask")]
    right = torch.cat(by_torch(*qkv, *mask), -1)
    both = side_by_side(solution)
    both(*inputs(B), some_mask(B))
    assert_close(
        both(*qkv, *mask), right, f"output and weights of a call with {then}, after one with a mask,",
        because="A call follows from what it is given, and from nothing that came before: no mask, no table is kept.",
    )  # fmt: skip


# --- learning ------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True], ids=["without a mask", "with a mask"])
def test_gradients_reach_query_key_and_value(solution, masked):
    mask = [some_mask(B)] if masked else []
    assert_gradients_of(
        lambda *qkv: attend(solution, *qkv, *mask)[0], lambda *qkv: by_torch(*qkv, *mask)[0],
        dict(zip(("query", "key", "value"), inputs(B), strict=True)),
    )  # fmt: skip


def test_the_weights_pass_a_gradient_on_too(solution):
    query, key, value = inputs(B)
    rest = value, some_mask(B)
    assert_gradients_of(
        lambda q, k: attend(solution, q, k, *rest)[1], lambda q, k: by_torch(q, k, *rest)[1],
        {"query": query, "key": key},
        because="This is the gradient of the weights, the second result: what is computed for them alone learns, too.",
    )  # fmt: skip


def test_a_closed_score_far_above_the_open_ones_spoils_no_gradient(solution):
    query, key, value = inputs(B)
    key[:, -1] = 1000 * query[:, 0]  # a score in the thousands, where the mask is closed
    mask = torch.arange(S) < S - 1
    assert_gradients_of(
        lambda *qkv: attend(solution, *qkv, mask)[0], lambda *qkv: by_torch(*qkv, mask)[0],
        {"query": query, "key": key, "value": value},
        because="Close a score before exp. exp of it is inf, and where(mask, inf, 0) hides that on the way there only: "
        "on the way back inf * 0 is NaN.",
    )  # fmt: skip
