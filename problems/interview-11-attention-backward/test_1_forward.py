"""Interview 11, first part: what attention_forward promises, from cause to consequence.

Shapes: B batch, H heads, T queries, S keys, D channels of query and key, E channels of a value.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_raises,
    assert_repeatable,
    assert_shape,
    draw,
    observe,
)
from common.testing.attending import SideBySide, assert_scores, assert_works_elsewhere, pair_of
from common.testing.attention import about_large_scores
from common.testing.comparisons import assert_layout_is_free
from common.testing.dtypes import assert_half_precision

B, H, T, S, D, E = 2, 3, 5, 7, 4, 6
AXES = {"H": H, "D": D}
CALL = "attention_forward(q, k, v)"
BOTH = pytest.mark.parametrize("causal", [False, True])


def inputs(causal, lead=(B, H), d=D, t=T):
    """q, k and v; causal attention has as many keys as queries."""
    s = t if causal else S
    return draw("q", *lead, T=t, D=d), draw("k", *lead, s, d), draw("v", *lead, s, E=E)


def forward(solution, q, k, v, causal):
    return pair_of(solution.attention_forward(q, k, v, causal=causal), CALL)


def side_by_side(solution, causal):
    return SideBySide(lambda *tensors: solution.attention_forward(*tensors, causal=causal), CALL)


# --- what others stand on ------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("lead", [(B, H), (), (H,), (B, 1, H)], ids=str)
def test_out_and_weights_have_their_shapes(solution, lead, causal):
    s = T if causal else S
    out, weights = forward(solution, *inputs(causal, lead), causal)
    assert_shape(
        weights, (*lead, T, s), "the weights, the second result,",
        because="For each query there is a row with a weight for each key; leading axes stay, however many.",
    )
    assert_shape(
        out, (*lead, T, E), "out, the first result,",
        because="Each query gets a mixture of values, which have E channels; leading axes stay, however many.",
    )


@BOTH
def test_forward_leaves_its_inputs_alone(solution, causal):
    assert_input_untouched(side_by_side(solution, causal), *inputs(causal), what="attention_forward")


def test_forward_gives_the_same_twice(solution):
    assert_repeatable(side_by_side(solution, True), *inputs(True), what="what attention_forward gives")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_forward_answers_in_the_type_of_its_inputs(solution, dtype):
    out, weights = forward(solution, *(x.to(dtype) for x in inputs(True)), True)
    assert_equal(
        [str(out.dtype), str(weights.dtype)], [str(dtype)] * 2, f"the dtypes of out and weights for inputs in {dtype}",
        because="Both come in the type of the inputs; what was cast to compute in is cast back, .to(q.dtype).",
    )


def test_forward_works_in_half_precision(solution):
    assert_half_precision(side_by_side(solution, True), *inputs(True))


def test_forward_works_on_another_device(solution):
    assert_works_elsewhere(side_by_side(solution, True), *inputs(True), what="attention_forward")


def test_forward_takes_tensors_in_any_order_of_memory(solution):
    assert_layout_is_free(
        side_by_side(solution, True), *inputs(True), what="what attention_forward gives for non-contiguous inputs"
    )


# --- weights and values --------------------------------------------------------------------------


@BOTH
def test_each_row_of_weights_sums_to_one(solution, causal):
    _, weights = forward(solution, *inputs(causal), causal)
    assert_close(
        weights.sum(-1), torch.ones(B, H, T, device=weights.device), f"the sum of a row of weights, causal={causal},",
        because="A query shares out all of its attention among the keys: the softmax runs along the keys, the last "
        "axis, and over visible scores only.",
    )


@pytest.mark.parametrize("d", [D, 1, 16])
def test_a_score_is_a_product_over_the_root_of_d(solution, d):
    q, k, v = inputs(False, d=d)
    right = (q.double() @ k.double().transpose(-2, -1) / d**0.5).float()
    _, weights = forward(solution, q, k, v, False)
    assert_scores(
        weights, right, atol=2e-3,
        because=f"score[t, s] is q[t] · k[s] / sqrt(D), and D = {d} is the number of channels of a query.",
    )


def test_a_causal_query_sees_no_later_key(solution):
    _, weights = forward(solution, *inputs(True), True)
    observe("the causal weights", weights)
    later = torch.ones(T, T, dtype=torch.bool, device=weights.device).triu(1)
    hidden = weights[..., later]
    assert_close(
        hidden, torch.zeros_like(hidden), "the list of weights that causal queries give to later keys", atol=0.0,
        because="Query i sees keys 0 to i; a hidden score counts as -inf, and exp(-inf) is exactly 0.",
    )


@BOTH
def test_the_weights_are_a_softmax_of_the_scores(solution, causal):
    q, k, v = inputs(causal)
    scores = q @ k.transpose(-2, -1) / D**0.5
    if causal:
        scores = scores.masked_fill(torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1), -torch.inf)
    _, weights = forward(solution, q, k, v, causal)
    assert_close(
        weights, torch.softmax(scores, -1), f"the weights, causal={causal},",
        because="They are torch.softmax of q · k / sqrt(D) along the keys, with -inf at what a query may not see; it "
        "does see itself.",
    )


@BOTH
def test_out_is_what_torchs_attention_gives(solution, causal):
    q, k, v = inputs(causal)
    right = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    out, _ = forward(solution, q, k, v, causal)
    assert_close(
        out, right, f"out, causal={causal},",
        because="It is weights times values, as F.scaled_dot_product_attention gives it.",
    )


def test_causal_unless_you_say_otherwise(solution):
    q, k, v = inputs(True)
    right = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    out, _ = pair_of(solution.attention_forward(q, k, v), CALL)
    assert_close(
        out, right, "out without the argument causal",
        because="The signature is attention_forward(q, k, v, causal=True).",
    )


@BOTH
@pytest.mark.parametrize("sign", [1, -1])
def test_scores_of_tens_of_thousands_do_not_overflow(solution, sign, causal):
    q, k, v = inputs(causal)
    q, k = sign * 3e4 * q.abs(), k.abs()
    right = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), is_causal=causal).float()
    out, _ = forward(solution, q, k, v, causal)
    assert_close(
        out, right, f"out for scores around {sign * 4e4:g}, causal={causal},", because=about_large_scores(out),
        atol=0.05,  # such a score is rounded by up to 4e-3, which moves a weight by as much
    )


@pytest.mark.parametrize("sizes", [(3, 5), (5, 3), (1, 7)], ids=str)
def test_causal_with_other_lengths_is_refused(solution, sizes):
    t, s = sizes
    q, k, v = draw("q", T=t, D=D), draw("k", S=s, D=D), draw("v", S=s, E=E)
    with assert_raises(
        ValueError, f"attention_forward with T = {t} queries, S = {s} keys and causal=True", naming=(t, s),
        because="Query i sees keys 0 to i, which needs a key for each query; the message names both sizes.",
    ):
        solution.attention_forward(q, k, v)


@pytest.mark.parametrize("then", [3, 9])
def test_forward_keeps_nothing_for_the_next_length(solution, then):
    q, k, v = inputs(True, t=then)
    right = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    forward(solution, *inputs(True), True)
    out, _ = forward(solution, q, k, v, True)
    assert_close(
        out, right, f"out for {then} tokens, after a call with {T},",
        because="A call follows from what it is given: the mask is made for the T of this call.",
    )
