"""Interview 03: what masked_softmax and multi_head_attention promise, from cause to consequence.

Shapes: B batch, T tokens, C channels, H num_heads, D = C // H; S scores in a row.
"""

import math

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere, is_elsewhere

B, T, S, C, H = 2, 5, 7, 12, 3
D = C // H


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


# --- masked_softmax ------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [-1, 0, 1])
def test_without_a_hidden_position_it_is_softmax(solution, dim):
    scores = draw("scores", B, T, S)
    everything = torch.ones(B, T, S, dtype=torch.bool, device=scores.device)
    assert_close(
        solution.masked_softmax(scores, everything, dim=dim), torch.softmax(scores, dim), f"masked_softmax with a mask of True only and dim={dim}",
        because="torch.softmax along dim gives the expected value. True means that a position may be seen; highest and sum run along dim, each with keepdim=True, and nothing is added to them.",
    )  # fmt: skip


def test_masked_softmax_leaves_its_inputs_alone(solution):
    assert_input_untouched(solution.masked_softmax, draw("scores", T, S), mask_of(T, S), what="masked_softmax")


def test_dim_is_the_last_axis_unless_you_say_otherwise(solution):
    scores, mask = draw("scores", T, S), mask_of(T, S)
    assert_identical(
        solution.masked_softmax(scores, mask), solution.masked_softmax(scores, mask, dim=-1), "masked_softmax(scores, mask)",
        because="The signature is masked_softmax(scores, mask, dim=-1).",
    )  # fmt: skip


def test_hidden_positions_get_exactly_zero(solution):
    scores, mask = draw("scores", B, T, S), mask_of(B, T, S)
    weights = assert_tensor(solution.masked_softmax(scores, mask), "masked_softmax")
    assert_shape(weights, (B, T, S), "masked_softmax", because="A weight for each score.")
    seen = bool((weights[mask] == 0).any())
    assert_close(
        weights[~mask], torch.zeros(int((~mask).sum()), device=weights.device), "the list of weights where the mask is False", atol=0.0,
        because="Your visible positions have 0 instead: True means may attend, so hide ~mask." if seen
        else "Exactly 0: score -inf before exp, since exp(-inf) = 0. A score of 0 is no mask, as exp(0) = 1.",
    )  # fmt: skip


def test_visible_positions_share_out_all_the_weight(solution):
    scores, mask = draw("scores", B, T, S), mask_of(B, T, S)
    assert_close(
        solution.masked_softmax(scores, mask).sum(-1), torch.ones(B, T, device=scores.device), "the sum of each row",
        because="The weights of the visible positions sum to 1. Hide before you sum: zeros put in after the division leave less than 1.",
    )  # fmt: skip


@pytest.mark.parametrize("shape", [(B, T, S), (S,), (T, S), (B, 1, S), (1, 1, S)], ids=str)
def test_the_mask_broadcasts_to_the_scores(solution, shape):
    scores, mask = draw("scores", B, T, S), mask_of(*shape)
    assert_close(
        solution.masked_softmax(scores, mask), hidden(scores, mask), f"masked_softmax for scores of {(B, T, S)} and a mask of {shape}",
        because="torch.softmax of the scores with -inf where the mask is False gives the expected value; a mask with fewer axes holds for all of the others.",
    )  # fmt: skip


@pytest.mark.parametrize("dim", [0, 1, -2])
def test_it_runs_along_the_axis_it_is_given(solution, dim):
    scores, mask = draw("scores", B, T, S), mask_of(B, T, S)
    mask[0] = True  # a True in every row, whatever the axis
    mask[:, 0] = True
    assert_close(
        solution.masked_softmax(scores, mask, dim=dim), hidden(scores, mask, dim), f"masked_softmax with dim={dim}",
        because="The highest score and the sum both run along dim, not always along the last axis.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1e2, 1e4, -1e4])
def test_large_scores_do_not_overflow(solution, size):
    scores, mask = size + draw("scores", T, S), mask_of(T, S)
    assert_close(
        solution.masked_softmax(scores, mask), hidden(scores, mask), f"masked_softmax of scores around {size:g}",
        because="exp overflows above 88 and is 0 below -104: subtract the row's highest visible score before exp.",
        rtol=2e-3,  # float32's numbers lie 1e-3 apart at 1e4, and a softmax through logsumexp rounds there
    )  # fmt: skip


def test_each_row_subtracts_its_own_highest_score(solution):
    scores, mask = draw("scores", T, S), mask_of(T, S)
    scores[0] += 500
    scores[2] -= 500
    assert_close(
        solution.masked_softmax(scores, mask), hidden(scores, mask), "masked_softmax of rows that lie 500 apart",
        because="One maximum for the whole table leaves nothing of the lower rows. Each row has its own: amax(dim, keepdim=True).",
    )  # fmt: skip


def test_a_high_score_that_is_hidden_does_not_matter(solution):
    scores, mask = draw("scores", T, S), mask_of(T, S)
    high = torch.where(mask, scores, 1e4)
    assert_close(
        solution.masked_softmax(high, mask), hidden(scores, mask), "masked_softmax with scores of 1e4 at hidden positions",
        because="A hidden score that takes part in the maximum pushes all visible ones to exp(-1e4) = 0, and one that goes through exp is inf. Hide first, then take the maximum.",
    )  # fmt: skip


EMPTY = {"a row of the mask": (T, S), "a row, given once for all columns": (T, 1), "everything": (1,)}


@pytest.mark.parametrize("which", EMPTY)
def test_a_row_without_a_true_is_all_zeros(solution, which):
    scores, mask = draw("scores", T, S), torch.ones(EMPTY[which], dtype=torch.bool, device=draw("d", 1).device)
    mask[2 if mask.ndim > 1 else 0] = False
    full = mask.expand(T, S)
    expected = torch.where(full, torch.softmax(scores, -1), 0.0)
    weights = assert_tensor(solution.masked_softmax(scores, mask), "masked_softmax")
    says = "Nothing may be attended to, so every weight is 0."
    if weights.isnan().any():
        says += " NaN is -inf - -inf, or 0/0: the highest score of an empty row is -inf and its sum is 0, so both need another value there."
    elif weights.shape == full.shape and bool((weights[~full] > 0).any()):
        says += " Equal scores share the weight evenly, be they all -1e9: a low finite score hides a position only beside higher ones."
    assert_close(weights, expected, f"masked_softmax with False for {which}", because=says)


def test_an_empty_row_lies_along_dim(solution):
    scores, mask = draw("scores", T, S), torch.ones(S, dtype=torch.bool, device=draw("d", 1).device)
    mask[3] = False
    expected = torch.where(mask, torch.softmax(scores, 0), 0.0)
    assert_close(
        solution.masked_softmax(scores, mask, dim=0), expected, "masked_softmax along dim=0 with a mask (S,) that hides column 3",
        because="Along dim=0 each column is a row of its own, and column 3 is empty. Look for emptiness along dim, after the mask is broadcast.",
    )  # fmt: skip


def gradient(function, scores):
    scores = scores.clone().requires_grad_()
    result = assert_tensor(function(scores), "masked_softmax")
    assert_true(result.requires_grad, "no gradient reaches the scores through masked_softmax", because="Use tensor operations only: .item(), .data, detach() or no_grad() cut the graph.")
    (result * draw("direction", *scores.shape)).sum().backward()
    return torch.zeros_like(scores) if scores.grad is None else scores.grad


def test_the_gradient_is_that_of_softmax(solution):
    scores, mask = draw("scores", T, S), mask_of(T, S)
    expected = gradient(lambda s: hidden(s, mask), scores)
    assert_close(
        gradient(lambda s: solution.masked_softmax(s, mask), scores), expected, "the gradient of masked_softmax",
        because="It equals torch.softmax's, with 0 at hidden positions. A detach() around the sum, say, changes it.",
    )  # fmt: skip


def test_a_high_score_that_is_hidden_does_not_spoil_the_gradient(solution):
    scores, mask = draw("scores", T, S), mask_of(T, S)
    high = torch.where(mask, scores, 1e4)
    expected = gradient(lambda s: hidden(s, mask), scores)
    assert_close(
        gradient(lambda s: solution.masked_softmax(s, mask), high), expected, "the gradient of masked_softmax with scores of 1e4 at hidden positions",
        because="exp(1e4) is inf. Taken out after exp it leaves the result right and the gradient 0 * inf = NaN: hide the score before exp.",
    )  # fmt: skip


def test_the_gradient_of_an_empty_row_is_zero(solution):
    scores, mask = draw("scores", T, S), mask_of(T, S)
    expected = gradient(lambda s: hidden(s, mask), scores)
    mask[2], expected[2] = False, 0.0
    assert_close(
        gradient(lambda s: solution.masked_softmax(s, mask), scores), expected, "the gradient of masked_softmax with row 2 empty",
        because="NaN in the gradient of a right result: a NaN or 0/0 was computed and then replaced, but backward() still passes through it, and 0 * NaN is NaN. "
        "Make the numbers harmless before the division, or hide with masked_fill or where, which stop the gradient.",
    )  # fmt: skip


def test_masked_softmax_keeps_the_dtype(solution):
    for dtype in (torch.float64, torch.bfloat16):
        weights = assert_tensor(solution.masked_softmax(draw("scores", T, S).to(dtype), mask_of(T, S)), "masked_softmax")
        assert_equal(str(weights.dtype), str(dtype), f"the dtype of masked_softmax for scores in {dtype}", because="Answer in the type that was given.")


# --- multi_head_attention ------------------------------------------------------------------------


def weights_of(c=C):
    """In the order of the arguments: in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias."""
    wide = 1.5 / c**0.5
    return [wide * draw("in", 3 * c, c), 0.5 * draw("in bias", 3 * c), wide * draw("out", c, c), 0.5 * draw("out bias", c)]


def torchs(x, weights, num_heads, key_padding_mask=None, causal=True):
    """F.multi_head_attention_forward, with out_proj_bias for queries that may attend to nothing."""
    t = x.size(1)
    may = torch.ones(x.size(0), t, t, dtype=torch.bool, device=x.device)
    may = may.tril() if causal else may
    may = may if key_padding_mask is None else may & key_padding_mask[:, None, :]
    empty = ~may.any(-1, keepdim=True)
    attn_mask = ~(may | empty).repeat_interleave(num_heads, 0)
    text = x.transpose(0, 1)
    in_weight, in_bias, out_weight, out_bias = weights
    out, _ = F.multi_head_attention_forward(
        text, text, text, x.size(2), num_heads, in_weight, in_bias, None, None, False, 0.0, out_weight, out_bias,
        training=False, need_weights=False, attn_mask=attn_mask,
    )  # fmt: skip
    return torch.where(empty, out_bias, out.transpose(0, 1))


@pytest.mark.parametrize(("b", "t", "c", "h"), [(2, 5, 12, 3), (3, 4, 10, 2), (1, 6, 7, 1), (4, 3, 6, 6)])
def test_the_output_has_the_shape_of_the_input(solution, b, t, c, h):
    out = solution.multi_head_attention(draw("x", b, t, c), *weights_of(c), h)
    assert_shape(out, (b, t, c), f"the output for x of {(b, t, c)} with {h} heads", because="Heads are merged back side by side, H * D = C, and the output projection keeps C.")


def test_the_texts_of_a_batch_do_not_see_each_other(solution):
    x, weights = draw("x", B, T, C), weights_of()
    changed = x.clone()
    changed[1] = draw("other", T, C)
    before = assert_tensor(solution.multi_head_attention(x, *weights, H, causal=False), "the output")
    after = solution.multi_head_attention(changed, *weights, H, causal=False)
    assert_close(after[0], before[0], "the output for text 0, after changing text 1,", because="Something mixes the batch axis: x is (B, T, C), batch first, and attention runs over axis 1, the tokens.")


def test_a_single_token_gets_its_own_value(solution):
    x, (w, bias, out_w, out_b) = draw("x", B, 1, C), weights_of()
    q, k, v = F.linear(x, w, bias).split(C, -1)
    right = F.linear(v, out_w, out_b)
    usual = {
        "The output projection is missing: the value itself comes out.": v,
        "out_proj_bias is missing.": right - out_b,
        "in_proj_bias is missing.": F.linear(F.linear(x, w[2 * C :]), out_w, out_b),
        "out_proj_weight is used without its transpose: a weight is (out, in), so x @ weight.mT, or F.linear.": v @ out_w + out_b,
        "The first third is taken for the values; the order is query, key, value.": F.linear(q, out_w, out_b),
        "The second third is taken for the values; the order is query, key, value.": F.linear(k, out_w, out_b),
        "The input is added to the output: a residual connection is the block's business.": right + x,
        "The weights are scaled after the softmax: the scores are, before it.": F.linear(v / D**0.5, out_w, out_b),
        "The input itself is mixed instead of its values.": F.linear(x, out_w, out_b),
    }
    for causal in (False, True):
        out = assert_tensor(solution.multi_head_attention(x, w, bias, out_w, out_b, H, causal=causal), "the output")
        says = next((s for s, y in usual.items() if out.shape == y.shape and torch.allclose(out, y, atol=1e-4)), "")
        assert_close(
            out, right, f"the output for a single token with causal={causal}",
            because=says or "One token attends to itself with weight 1, so its output is the output projection of its value: the last third of in_proj_weight's and in_proj_bias's rows.",
        )  # fmt: skip


def test_equal_scores_average_the_values(solution):
    x, (w, bias, out_w, out_b) = draw("x", B, T, C), weights_of()
    w[C : 2 * C], bias[C : 2 * C] = 0.0, 0.0
    v = F.linear(x, w[2 * C :], bias[2 * C :])
    assert_close(
        solution.multi_head_attention(x, w, bias, out_w, out_b, H, causal=False), F.linear(v.mean(1, keepdim=True), out_w, out_b).expand(B, T, C), "the output with keys of zero and causal=False",
        because="All scores are 0, so every token gets the average of all values. Look at the cut into query, key, value (C rows each, in this order, all heads of each together), at the heads, and at the softmax's axis.",
    )  # fmt: skip


def test_each_head_stays_in_its_channels(solution):
    x, (w, bias, _, out_b) = draw("x", B, T, C), weights_of()
    same = torch.eye(C, device=x.device)
    before = solution.multi_head_attention(x, w, bias, same, out_b, H, causal=False)
    for head in range(H):
        more = bias.clone()
        more[2 * C + head * D : 2 * C + (head + 1) * D] += 1.0
        expected = torch.zeros(C, device=x.device)
        expected[head * D : (head + 1) * D] = 1.0
        assert_close(
            assert_tensor(solution.multi_head_attention(x, w, more, same, out_b, H, causal=False), "the output") - before, expected.expand(B, T, C), f"the change of the output when head {head}'s values grow by 1",
            because=f"Weights that sum to 1 add 1 to channels {head * D} to {(head + 1) * D - 1} and nothing elsewhere: view(B, T, H, D).transpose(1, 2) to cut, transpose(1, 2) and flatten(2) to merge.",
        )  # fmt: skip


@pytest.mark.parametrize("head", range(H))
def test_a_head_compares_its_own_queries_and_keys(solution, head):
    # Head `head` alone has scores that are not 0, so the other heads must go on averaging.
    x, (w, bias, _, out_b) = draw("x", B, T, C), weights_of()
    own = slice(head * D, (head + 1) * D)
    keep = torch.zeros(C, dtype=torch.bool, device=x.device)
    keep[own] = True
    w[:C][~keep], bias[:C][~keep] = 0.0, 0.0
    same = torch.eye(C, device=x.device)
    v = F.linear(x, w[2 * C :], bias[2 * C :])
    out = solution.multi_head_attention(x, w, bias, same, 0 * out_b, H, causal=False)
    assert_close(
        assert_tensor(out, "the output")[..., ~keep], v.mean(1, keepdim=True).expand(B, T, C)[..., ~keep], f"the other heads' output when head {head} alone has queries",
        because=f"Head {head} works with channels {head * D} to {(head + 1) * D - 1} of query, key and value; its scores are no business of the others.",
    )  # fmt: skip


def test_the_scores_are_divided_by_the_root_of_the_head_size(solution):
    for c, h in ((12, 3), (18, 2), (5, 1)):
        # Queries are 1 everywhere, keys and values are x: token 1's share of the weight tells the scale.
        d, step = c // h, 0.25
        zero, same = draw("d", 1).new_zeros(c, c), torch.eye(c, device=draw("d", 1).device)
        bias = zero.new_zeros(3 * c)
        bias[:c] = 1.0
        x = zero.new_zeros(1, 2, c)
        x[0, 1] = step
        out = assert_tensor(solution.multi_head_attention(x, torch.cat([zero, same, same]), bias, same, zero[0], h, causal=False), "the output")
        share = (out[0, 0] / step).double().clamp(1e-6, 1 - 1e-6)
        by = d * step / torch.log(share / (1 - share))
        usual = {
            "Each head works in D channels, not in all C: sqrt(D).": c**0.5, "There is no scale: divide the scores by sqrt(D).": 1.0, "The root is missing: sqrt(D).": d, "Two roots of D make D: scale once.": d,
            "The scores are multiplied by sqrt(D).": d**-0.5, "The number of heads is no part of the scale: sqrt(D).": h**0.5, "You divide by C: it is sqrt(D).": c,
            "Queries and keys are exchanged: rows of the scores are queries, columns are keys.": math.inf,
        }  # fmt: skip
        first = float(by[0])
        says = next((s for s, value in usual.items() if first == value or abs(first) > 1e4 < value or abs(first - value) < 0.01 * value), "The scores are q @ k.mT / sqrt(D), D = C // num_heads.")
        assert_close(by.float(), torch.full((c,), d**0.5, device=x.device), f"the number that scores are divided by, with C = {c} and {h} heads,", because=says, rtol=1e-3)


def test_every_query_asks_every_key(solution):
    x, weights = draw("x", B, T, C), weights_of()
    assert_close(
        solution.multi_head_attention(x, *weights, H, causal=False), torchs(x, weights, H, causal=False), "the output with causal=False",
        because="F.multi_head_attention_forward gives the expected value. scores[i, j] is query i times key j, q @ k.mT; softmax runs over the keys, dim=-1; then weights @ v.",
    )  # fmt: skip


def test_later_tokens_do_not_change_earlier_outputs(solution):
    x, weights = draw("x", B, T, C), weights_of()
    changed = x.clone()
    changed[:, 3:] = draw("other", B, T - 3, C)
    before = assert_tensor(solution.multi_head_attention(x, *weights, H, causal=True), "the output")
    after = solution.multi_head_attention(changed, *weights, H, causal=True)
    assert_close(
        after[:, :3], before[:, :3].detach(), "the output of tokens 0 to 2, after changing tokens 3 and 4,",
        because="With causal=True query i may attend to keys 0 to i: the lower triangle of the (T, T) mask, tril, rows for queries.",
    )  # fmt: skip


def test_a_causal_query_sees_itself_and_all_before(solution):
    x, (w, bias, out_w, out_b) = draw("x", B, T, C), weights_of()
    w[C : 2 * C], bias[C : 2 * C] = 0.0, 0.0
    v = F.linear(x, w[2 * C :], bias[2 * C :])
    average = v.cumsum(1) / torch.arange(1, T + 1, device=x.device).view(T, 1)
    assert_close(
        solution.multi_head_attention(x, w, bias, out_w, out_b, H, causal=True), F.linear(average, out_w, out_b), "the output with keys of zero and causal=True",
        because="Token t gets the average of values 0 to t, its own included: tril() keeps the diagonal, tril(-1) drops it.",
    )  # fmt: skip


def test_causal_is_the_default(solution):
    x, weights = draw("x", B, T, C), weights_of()
    assert_identical(solution.multi_head_attention(x, *weights, H), solution.multi_head_attention(x, *weights, H, causal=True), "the output without the argument causal", because="The signature ends in key_padding_mask=None, causal=True.")


@pytest.mark.parametrize("causal", [False, True])
def test_padding_is_not_attended_to(solution, causal):
    x, weights = draw("x", B, T, C), weights_of()
    real = torch.ones(B, T, dtype=torch.bool, device=x.device)
    real[0, 4], real[1, 2:] = False, False  # padding on the right: no query is left with nothing
    out = assert_tensor(solution.multi_head_attention(x, *weights, H, real, causal), "the output")
    assert_shape(out, (B, T, C), "the output with key_padding_mask")
    expected = torchs(x, weights, H, real, causal)
    if not causal and torch.allclose(out, torchs(x, weights, H, ~real, causal), atol=1e-4):
        says = "You hide the real tokens: here True is a real token, the other way round than in nn.MultiheadAttention."
    elif torch.allclose(out, torchs(x, weights, H, None, causal), atol=1e-4):
        says = "key_padding_mask changes nothing in your output: put it together with the causal mask."
    elif torch.allclose(out, torchs(x, weights, H, real, not causal), atol=1e-4):
        says = "The padding mask replaces the causal one, or brings one in: a key is visible if both allow it, &."
    elif torch.allclose(out[real], expected[real], atol=1e-4):
        says = "Only outputs at padded positions differ. The mask is about keys: a padded query still attends to the real tokens that it may see."
    else:
        says = "Row b of the mask hides keys in every head and for every query of text b: key_padding_mask[:, None, None, :] against scores (B, H, T, T)."
    assert_close(out, expected, f"the output with padding on the right and causal={causal}", because=says)


def test_a_padded_token_does_not_reach_the_others(solution):
    x, weights = draw("x", B, T, C), weights_of()
    real = torch.ones(B, T, dtype=torch.bool, device=x.device)
    real[:, 1] = False
    changed = x.clone()
    changed[:, 1] = draw("other", B, C)
    before = solution.multi_head_attention(x, *weights, H, real, False)
    after = solution.multi_head_attention(changed, *weights, H, real, False)
    assert_close(after[real], before[real].detach(), "the outputs of real tokens, after changing padded token 1,", because="A padded key has the weight 0 for every query: True in key_padding_mask marks the real tokens.")


def test_a_query_that_sees_nothing_gets_the_output_bias(solution):
    x, weights = draw("x", B, T, C), weights_of()
    real = torch.ones(B, T, dtype=torch.bool, device=x.device)
    real[1, :2] = False  # padding on the left: tokens 0 and 1 of text 1 see nothing
    out = assert_tensor(solution.multi_head_attention(x, *weights, H, real), "the output")
    says = "Weights of 0 make zeros before the output projection, which then gives out_proj_bias."
    if out.isnan().any():
        says += " NaN comes from softmax over a row of -inf: use masked_softmax."
    elif out.shape == x.shape and not bool(out[1, 0].any()):
        says += " Your result is 0: the zeros belong before the projection, not after it."
    assert_close(out[1, :2], weights[3].expand(2, C), "the output of queries that may attend to nothing", because=says)
    assert_close(out, torchs(x, weights, H, real), "the output with padding on the left and causal=True", because="Queries with something to see are as without the empty ones. A key is visible if both masks allow it, &.")


def test_a_text_of_padding_only_gives_the_output_bias(solution):
    x, weights = draw("x", B, T, C), weights_of()
    real = torch.ones(B, T, dtype=torch.bool, device=x.device)
    real[0] = False
    assert_close(solution.multi_head_attention(x, *weights, H, real, False), torchs(x, weights, H, real, False), "the output for text 0 of padding only and causal=False", because="No key of text 0 is real, so all its weights are 0, with causal=False as well.")


def test_large_inputs_do_not_overflow(solution):
    x, weights = 100 * draw("x", B, T, C), weights_of()
    assert_close(
        solution.multi_head_attention(x, *weights, H), torchs(x, weights, H), "the output for an input 100 times as large",
        because="Scores in the thousands overflow exp unless the highest of each row is subtracted: use masked_softmax.", atol=2e-3, rtol=1e-3,
    )  # fmt: skip


def test_gradients_are_those_of_torch(solution):
    direction = draw("direction", B, T, C)
    names = ["x", "in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias"]

    def gradients(function):
        leaves = [t.requires_grad_() for t in (draw("x", B, T, C), *weights_of())]
        result = assert_tensor(function(*leaves), "the output")
        assert_true(result.requires_grad, "no gradient reaches the inputs of multi_head_attention", because="Use tensor operations only: .item(), .data, detach() or no_grad() cut the graph.")
        (result * direction).sum().backward()
        return [torch.zeros_like(t) if t.grad is None else t.grad for t in leaves]

    real = torch.ones(B, T, dtype=torch.bool, device=direction.device)
    real[1, :2] = False
    theirs = gradients(lambda x, *w: torchs(x, w, H, real))
    mine = gradients(lambda x, *w: solution.multi_head_attention(x, *w, H, real))
    for name, my, their in zip(names, mine, theirs, strict=True):
        assert_close(
            my, their, f"the gradient of {name}, with padding on the left,", atol=1e-4, rtol=1e-4,
            because="It equals torch's, with nothing from empty queries. NaN comes from a NaN that was replaced after the softmax; other values from a detach() on the way: weights, values and projections all pass gradients on.",
        )  # fmt: skip


@pytest.mark.parametrize(("c", "h"), [(12, 5), (12, 0), (12, -3), (9, 12)])
def test_heads_that_do_not_divide_the_channels_are_refused(solution, c, h):
    with assert_raises(ValueError, f"multi_head_attention with C = {c} and num_heads = {h}", naming=(c, h), because="Check first: num_heads is at least 1 and divides C. 12 % -3 is 0, so the sign needs a check of its own. The message names both numbers."):
        solution.multi_head_attention(draw("x", B, T, c), *weights_of(c), h)


def test_multi_head_attention_leaves_its_inputs_alone(solution):
    real = torch.ones(B, T, dtype=torch.bool, device=draw("d", 1).device)
    real[1, :2] = False

    def call(x, in_w, in_b, out_w, out_b, mask):
        return solution.multi_head_attention(x, in_w, in_b, out_w, out_b, H, mask)

    assert_input_untouched(call, draw("x", B, T, C), *weights_of(), real, what="multi_head_attention")


def test_it_works_in_the_dtype_and_on_the_device_of_its_inputs(solution):
    x, weights = draw("x", B, T, C).double(), [w.double() for w in weights_of()]
    real = torch.ones(B, T, dtype=torch.bool, device=x.device)
    out = assert_tensor(solution.multi_head_attention(x, *weights, H, real), "the output")
    assert_equal(str(out.dtype), "torch.float64", "the dtype of the output for inputs in float64", because="A tensor made with a fixed dtype, or a cast such as .float(), changes the type.")
    trouble = ""
    with elsewhere() as send:
        try:
            there = solution.multi_head_attention(send(x.cpu()), *(send(w.cpu()) for w in weights), H, send(real.cpu()))
            trouble = "" if is_elsewhere(there) else "the result is on the CPU"
        except DevicesDiffer as error:
            trouble = str(error)
    observe("works on another device", bool(trouble))
    if trouble:
        fail("multi_head_attention does not work on another device than the CPU:", expected="everything on x's device", got=trouble, because="Make the causal mask with device=x.device.")
