"""Problem 03: what softmax and scaled_dot_product_attention promise, from cause to consequence.

Shapes: T tokens that ask, S tokens that are asked, D and E channels.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_made_on_device,
    assert_shape,
    assert_true,
    draw,
)

B, T, S, D, E = 2, 3, 5, 7, 9


# --- softmax -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [-1, 0, 1, 2])
def test_softmax_keeps_the_shape(solution, dim):
    scores = draw("scores", B, T, S)
    assert_shape(solution.softmax(scores, dim=dim), (B, T, S), f"softmax(scores, dim={dim})")


def test_softmax_leaves_its_input_alone(solution):
    assert_input_untouched(solution.softmax, draw("scores", T, S), what="softmax")


def test_softmax_is_never_negative_and_sums_to_one(solution):
    weights = solution.softmax(draw("scores", B, T, S))
    assert_true(
        bool((weights >= 0).all()), "softmax gives negative numbers",
        because="exp of anything is positive. A logarithm (log_softmax) or a missing exp gives negative numbers.",
    )  # fmt: skip
    assert_close(
        weights.sum(-1), torch.ones(B, T, device=weights.device), "the sum of a softmax over the last axis",
        because="Divide by the sum along dim, with keepdim=True so that each row is divided by its own sum. The default dim is -1.",
    )  # fmt: skip


def test_softmax_turns_differences_into_ratios(solution):
    scores = torch.tensor([[0.0, 1.0, 3.0]], device=draw("d", 1).device)
    weights = solution.softmax(scores)
    assert_close(
        weights / weights[:, :1], scores.exp(), "the ratio of two weights whose scores differ by 0, 1 and 3",
        because="Scores that differ by d have weights in the ratio e^d: the base is e, and nothing scales the scores inside softmax.",
    )  # fmt: skip


@pytest.mark.parametrize("dim", [-1, 0, 1, -2, 2])
def test_softmax_runs_along_the_axis_it_is_given(solution, dim):
    scores = draw("scores", B, T, S)
    assert_close(
        solution.softmax(scores, dim=dim), torch.softmax(scores, dim), f"softmax(scores, dim={dim})",
        because="torch.softmax along that axis gives the expected value: both the maximum and the sum run along dim, each with keepdim=True.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1e2, 1e4, -1e4])
def test_softmax_does_not_overflow(solution, size):
    scores = size + draw("scores", T, S)
    assert_close(
        solution.softmax(scores), torch.softmax(scores, -1), f"softmax of scores around {size:g}",
        because="exp overflows above 88 and is 0 below -104. Subtract the row's maximum before exp: the result stays the same, as numerator and sum shrink alike.",
        rtol=2e-3,  # float32's numbers lie 1e-3 apart at 1e4, and a softmax through logsumexp rounds there
    )  # fmt: skip


def test_each_row_subtracts_its_own_maximum(solution):
    scores = draw("scores", T, S)
    scores[0] += 500
    scores[2] -= 500
    assert_close(
        solution.softmax(scores), torch.softmax(scores, -1), "softmax of rows that lie 500 apart",
        because="One maximum for the whole table leaves the lower rows with 0/0. Each row needs its own: scores.amax(dim, keepdim=True).",
    )  # fmt: skip


def test_softmax_takes_minus_infinity_as_never(solution):
    scores = draw("scores", T, S)
    scores[:, 1] = -torch.inf
    scores[0, 2:] = -torch.inf
    assert_close(
        solution.softmax(scores), torch.softmax(scores, -1), "softmax of scores with some at -inf",
        because="exp(-inf) is 0. NaN comes from inf - inf: subtract the maximum, which is finite, and nothing else.",
    )  # fmt: skip


def test_softmax_passes_the_gradient(solution):
    scores, direction = draw("scores", T, S), draw("direction", T, S)
    mine, theirs = scores.clone().requires_grad_(), scores.clone().requires_grad_()
    (solution.softmax(mine) * direction).sum().backward()
    (torch.softmax(theirs, -1) * direction).sum().backward()
    assert_true(mine.grad is not None, "no gradient reaches the scores through softmax", because="Use tensor operations only: .item(), .data, detach() or numpy cut the graph.")
    assert_close(mine.grad, theirs.grad, "the gradient of softmax", because="It equals torch.softmax's. A detach() around the sum, say, changes it.")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_softmax_keeps_the_dtype(solution, dtype):
    weights = solution.softmax(draw("scores", T, S).to(dtype))
    assert_equal(str(weights.dtype), str(dtype), f"the dtype of softmax for scores in {dtype}", because="Answer in the type that was given.")


# --- scaled_dot_product_attention ----------------------------------------------------------------


def inputs():
    return draw("query", B, T, D), draw("key", B, S, D), draw("value", B, S, E)


def test_it_returns_two_tensors_output_and_weights(solution):
    result = solution.scaled_dot_product_attention(*inputs())
    assert_true(
        isinstance(result, tuple) and len(result) == 2, "scaled_dot_product_attention does not return a pair",
        because="Return both: `return output, weights`.",
    )  # fmt: skip
    output, weights = result
    assert_shape(weights, (B, T, S), "the second result, the weights,", because="One row for each query, one column for each key. Output comes first, weights second.")
    assert_shape(output, (B, T, E), "the first result, the output,", because="weights @ value: as many rows as queries, as many channels as the values.")


def test_each_row_of_weights_sums_to_one(solution):
    _, weights = solution.scaled_dot_product_attention(*inputs())
    columns = weights.sum(-2)
    assert_close(
        weights.sum(-1), torch.ones(B, T, device=weights.device), "the sum of a row of weights",
        because="Each query shares out one unit of attention over the keys: softmax runs over the last axis, and the scale belongs to the scores, before it."
        + (" Your columns sum to 1 instead: softmax runs over the queries." if bool(((columns - 1).abs() < 1e-4).all()) else ""),
    )  # fmt: skip


def test_rows_are_queries_and_columns_are_keys(solution):
    order = torch.tensor([4, 0, 2])
    key = torch.eye(S, device=draw("d", 1).device)
    _, weights = solution.scaled_dot_product_attention(50 * key[order], key, draw("value", S, E))
    assert_equal(
        weights.argmax(-1).tolist(), order.tolist(), "the list of best keys, query by query,",
        because="scores[i, j] is query i times key j: query @ key.mT. reshape does not transpose.",
    )  # fmt: skip


@pytest.mark.parametrize(("t", "s", "d", "e"), [(3, 5, 7, 9), (2, 9, 4, 3), (6, 2, 16, 5)])
def test_scores_are_divided_by_the_root_of_the_channels(solution, t, s, d, e):
    query, key = draw("query", B, t, d), draw("key", B, s, d)
    _, weights = solution.scaled_dot_product_attention(query, key, draw("value", B, s, e))
    measured = weights.log() - weights.log()[..., :1]
    plain = query @ key.transpose(-2, -1)
    plain = plain - plain[..., :1]
    factor = float((measured * plain).sum() / plain.square().sum())
    names = {
        "not scaled at all": 1.0, "divided by D instead of sqrt(D)": 1 / d, "divided by T": 1 / t, "divided by S": 1 / s,
        "divided by sqrt(T)": t**-0.5, "divided by sqrt(S)": s**-0.5, "divided by sqrt(E), the channels of the values": e**-0.5,
        "multiplied by sqrt(D)": d**0.5, "divided by D ** 0.25, as if only one of query and key were scaled by it": d**-0.25,
    }  # fmt: skip
    right = abs(factor * d**0.5 - 1) < 1e-3
    likely = "" if right else next((n for n, f in names.items() if abs(factor / f - 1) < 1e-3), "")
    assert_close(
        measured, plain / d**0.5, f"the difference of two scores for T = {t}, S = {s}, D = {d}, E = {e}, read back from the weights,",
        because=f"Scores are q·k / sqrt(D), which is q·k times {d**-0.5:.4g} here; yours are q·k times {factor:.4g}" + (f": they are {likely}." if likely else "."),
        atol=1e-3, rtol=1e-3,  # the logarithm of a weight of 1e-4 magnifies float32's rounding a thousandfold
    )  # fmt: skip


def test_the_output_mixes_the_values_by_the_weights(solution):
    query, key, value = inputs()
    output, weights = solution.scaled_dot_product_attention(query, key, value)
    assert_close(
        output, weights @ value, "the output, compared with your own weights @ value,",
        because="Row t of the output is the sum of weights[t, s] * value[s]. The scale belongs to the scores, not to the output.",
    )  # fmt: skip


@pytest.mark.parametrize("lead", [(), (B,), (B, 4)], ids=["no batch", "one axis", "two axes"])
def test_any_leading_axes_are_kept(solution, lead):
    query, key, value = draw("query", *lead, T, D), draw("key", *lead, S, D), draw("value", *lead, S, E)
    output, _ = solution.scaled_dot_product_attention(query, key, value)
    assert_close(
        output, F.scaled_dot_product_attention(query, key, value), f"the output for inputs with leading axes {lead}",
        because="Only the last two axes take part; count them from the end, -1 and -2.",
    )  # fmt: skip


# --- the mask ------------------------------------------------------------------------------------


def some_mask(*lead):
    mask = draw("mask", *lead, T, S) > 0
    mask[..., 0] = True  # no row is closed everywhere
    mask[..., 1, :] = False
    mask[..., 1, 2] = True  # a row with one open key
    return mask


def test_a_closed_key_gets_a_weight_of_exactly_zero(solution):
    mask = some_mask(B)
    _, weights = solution.scaled_dot_product_attention(*inputs(), mask)
    closed, opened = weights[~mask], weights[mask]
    if bool((closed != 0).any()) and bool((opened == 0).all()):
        because = "It is the other way round: your open keys are the ones with weight 0. True means may attend, so fill where the mask is False: masked_fill(~mask, ...)."
    else:
        because = "Where the mask is False the score must be -inf before the softmax. A number such as 0, -1 or -10 leaves a weight of e^number; masked_fill returns a new tensor, so keep its result."
    assert_close(closed, torch.zeros_like(closed), "the weight of a key that the mask closes", because=because, atol=1e-12)


def test_masked_rows_still_sum_to_one(solution):
    _, weights = solution.scaled_dot_product_attention(*inputs(), some_mask(B))
    assert_close(
        weights.sum(-1), torch.ones(B, T, device=weights.device), "the sum of a row of weights with a mask",
        because="The open keys share the whole unit of attention. Zeroing weights after the softmax leaves less than 1: mask the scores, before it.",
    )  # fmt: skip


def test_a_closed_key_and_its_value_have_no_effect_at_all(solution):
    query, key, value = inputs()
    mask = torch.ones(T, S, dtype=torch.bool, device=query.device)
    mask[:, 3] = False
    before = solution.scaled_dot_product_attention(query, key, value, mask)[0]
    key[:, 3], value[:, 3] = 40.0, -7.0
    after = solution.scaled_dot_product_attention(query, key, value, mask)[0]
    assert_close(
        after, before, "the output, after changing a key and a value that the mask closes,",
        because="A closed key must not be felt, not even through the sum in the softmax: its score is -inf whatever the key says.",
    )  # fmt: skip


def test_a_mask_that_is_open_everywhere_changes_nothing(solution):
    query, key, value = inputs()
    plain, _ = solution.scaled_dot_product_attention(query, key, value)
    opened = torch.ones(T, S, dtype=torch.bool, device=query.device)
    assert_close(
        solution.scaled_dot_product_attention(query, key, value, opened)[0], plain, "the output with a mask of True everywhere",
        because="True means may attend: such a mask closes nothing, and must not be added to the scores or multiplied with them.",
    )  # fmt: skip


@pytest.mark.parametrize("shape", ["T,S", "B,T,S", "1,1,S", "B,1,S"])
def test_masks_of_any_broadcastable_shape_work(solution, shape):
    query, key, value = inputs()
    sizes = [{"B": B, "T": T, "S": S}.get(name, 1) for name in shape.split(",")]
    mask = draw("a mask", *sizes) > 0
    mask[..., 0] = True
    output, weights = solution.scaled_dot_product_attention(query, key, value, mask)
    # Not torch.softmax over -inf: written out, so that mask and weights are compared entry by entry.
    scores = (query @ key.transpose(-2, -1) / D**0.5).exp() * mask
    assert_close(
        weights, scores / scores.sum(-1, keepdim=True), f"the weights for a mask of shape ({shape})",
        because="The mask broadcasts to (..., T, S): masked_fill and torch.where do that by themselves.",
    )  # fmt: skip
    assert_close(output, weights @ value, f"the output for a mask of shape ({shape})", because="The output uses the masked weights.")


def test_several_heads_share_a_mask(solution):
    query, key, value = draw("query", B, 4, T, D), draw("key", B, 4, S, D), draw("value", B, 4, S, E)
    mask = some_mask()
    assert_close(
        solution.scaled_dot_product_attention(query, key, value, mask)[0],
        F.scaled_dot_product_attention(query, key, value, attn_mask=mask),
        "the output for four heads and one mask of shape (T, S)",
        because="F.scaled_dot_product_attention with the same mask gives the expected value.",
    )  # fmt: skip


def test_low_scores_do_not_open_a_closed_key(solution):
    query, key, value = inputs()
    query = -200 * query.abs()
    key = key.abs()
    mask = some_mask(B)
    _, weights = solution.scaled_dot_product_attention(query, key, value, mask)
    closed = weights[~mask]
    assert_close(
        closed, torch.zeros_like(closed), "the weight of a closed key when all scores are far below zero", atol=1e-12,
        because="Real scores can be as low as -1000, and then a closed key at, say, -100 wins. Use -inf (or the dtype's minimum).",
    )  # fmt: skip


def test_large_scores_do_not_overflow(solution):
    query, key, value = inputs()
    output, weights = solution.scaled_dot_product_attention(300 * query, 300 * key, value, some_mask(B))
    assert_true(
        bool(weights.isfinite().all()) and bool(output.isfinite().all()), "the result is NaN or infinite for scores in the hundred thousands",
        because="exp overflows above 88: use the safe softmax that you have just written.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


def test_inputs_and_mask_are_left_as_they_were(solution):
    mask = some_mask(B)
    saved = mask.clone()
    assert_input_untouched(lambda *qkv: solution.scaled_dot_product_attention(*qkv, mask), *inputs(), what="scaled_dot_product_attention")
    assert_true(bool((mask == saved).all()), "the mask was changed by the call", because="Methods that end in _ work in place: use ~mask, not mask.logical_not_().")


def test_gradients_reach_query_key_and_value(solution):
    mine = [x.clone().requires_grad_() for x in inputs()]
    theirs = [x.clone().requires_grad_() for x in inputs()]
    direction, mask = draw("direction", B, T, E), some_mask(B)
    (solution.scaled_dot_product_attention(*mine, mask)[0] * direction).sum().backward()
    (F.scaled_dot_product_attention(*theirs, attn_mask=mask) * direction).sum().backward()
    for name, a, b in zip(("query", "key", "value"), mine, theirs, strict=True):
        assert_true(a.grad is not None, f"no gradient reaches the {name}", because="Something cuts the graph: detach(), .data, .item(), torch.tensor(...) of a tensor.")
        assert_close(a.grad, b.grad, f"the gradient of the {name}", because="It equals that of F.scaled_dot_product_attention. NaN comes from a 0 times inf in the backward pass.")


def test_it_works_in_double_precision(solution):
    output, weights = solution.scaled_dot_product_attention(*(x.double() for x in inputs()), some_mask(B))
    for name, result in (("output", output), ("weights", weights)):
        assert_equal(str(result.dtype), "torch.float64", f"the dtype of the {name} for float64 inputs", because="Tensors made on the way need dtype=query.dtype.")


def test_it_works_on_another_device(solution):
    def call(device):
        query, key, value = (x.to(device) for x in inputs())
        return solution.scaled_dot_product_attention(query, key, value, some_mask(B).to(device))[0]

    assert_made_on_device(call, "scaled_dot_product_attention on tensors of another device")
