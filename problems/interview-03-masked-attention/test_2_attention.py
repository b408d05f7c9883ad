"""Interview 03, attention: what multi_head_attention promises, from cause to consequence.

Shapes: B batch, T tokens, C channels, H num_heads, D = C // H.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_close,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_raises,
    assert_repeatable,
    assert_shape,
    assert_tensor,
    draw,
    name_sizes,
)
from common.testing.attending import assert_works_elsewhere
from common.testing.attention import about_large_scores
from common.testing.causality import assert_finite
from common.testing.comparisons import assert_gradients_of, assert_layout_is_free
from common.testing.dtypes import assert_half_precision

B, T, C, H = 2, 5, 12, 3
D = C // H
AXES = {"C": C, "H": H, "D": D}
NAMES = ("in_proj_weight", "in_proj_bias", "out_proj_weight", "out_proj_bias")


def text(length=T, name="x"):
    return draw(name, B=B, T=length, C=C)


def weights_of(c=C):
    """In the order of the arguments, which is that of NAMES."""
    wide = 1.5 / c**0.5
    into, out = draw("in", 3 * c, c), draw("out", c, c)
    return [wide * into, 0.5 * draw("in bias", 3 * c), wide * out, 0.5 * draw("out bias", c)]


def padding(*hidden, length=T):
    """A key_padding_mask (B, T) with these (text, tokens) hidden."""
    real = torch.ones(B, length, dtype=torch.bool, device=draw("d", 1).device)
    for row, tokens in hidden:
        real[row, tokens] = False
    return real


RIGHT = ((0, slice(4, 5)), (1, slice(2, 5)))  # no query is left with nothing
LEFT = ((1, slice(0, 2)),)  # tokens 0 and 1 of text 1 see nothing


class Layer(nn.Module):
    """multi_head_attention as a module."""

    def __init__(self, solution, **options):
        super().__init__()
        self.attend, self.options = solution.multi_head_attention, options

    def forward(self, x, in_w, in_b, out_w, out_b, real=None):
        out = self.attend(x, in_w, in_b, out_w, out_b, H, real, **self.options)
        return assert_tensor(out, "the output")


def torchs(x, weights, num_heads, key_padding_mask=None, causal=True):
    """F.multi_head_attention_forward, with out_proj_bias for queries that may attend to nothing."""
    t = x.size(1)
    may = torch.ones(x.size(0), t, t, dtype=torch.bool, device=x.device)
    may = may.tril() if causal else may
    may = may if key_padding_mask is None else may & key_padding_mask[:, None, :]
    empty = ~may.any(-1, keepdim=True)
    attn_mask = ~(may | empty).repeat_interleave(num_heads, 0)
    first = x.transpose(0, 1)
    in_weight, in_bias, out_weight, out_bias = weights
    out, _ = F.multi_head_attention_forward(
        first, first, first, x.size(2), num_heads, in_weight, in_bias, None, None, False, 0.0, out_weight, out_bias,
        training=False, need_weights=False, attn_mask=attn_mask,
    )  # fmt: skip
    return torch.where(empty, out_bias, out.transpose(0, 1))


# --- what others stand on ------------------------------------------------------------------------


@pytest.mark.parametrize(("b", "t", "c", "h"), [(2, 5, 12, 3), (3, 4, 10, 2), (1, 6, 7, 1), (4, 3, 6, 6)])
def test_the_output_has_the_shape_of_the_input(solution, b, t, c, h):
    name_sizes(H=h, D=c // h)
    out = solution.multi_head_attention(draw("x", B=b, T=t, C=c), *weights_of(c), h)
    assert_shape(
        out, (b, t, c), f"the output with {h} heads",
        because="The heads lie side by side again, H * D = C channels, and the output projection keeps C.",
    )  # fmt: skip


@pytest.mark.parametrize(("c", "h"), [(12, 5), (12, 0), (12, -3), (9, 12)])
def test_heads_that_do_not_divide_the_channels_are_refused(solution, c, h):
    with assert_raises(
        ValueError, f"multi_head_attention with C = {c} and num_heads = {h}", naming=(c, h),
        because="num_heads is at least 1 and divides C; anything else is refused before it is computed with, in a "
        "message that holds both numbers.",
    ):  # fmt: skip
        solution.multi_head_attention(draw("x", B=B, T=T, C=c), *weights_of(c), h)


@pytest.mark.parametrize("where", ["nowhere", "on the right", "on the left"])
def test_every_output_is_a_number(solution, where):
    layer, weights = Layer(solution), weights_of()
    real = {"nowhere": [], "on the right": [padding(*RIGHT)], "on the left": [padding(*LEFT)]}[where]
    assert_finite(
        lambda x: layer(x, *weights, *real), text(),
        because="The softmax of a row that is hidden everywhere is 0 / 0, which is NaN, and so are inf - inf and 0 * "
        "inf; masked_softmax gives zeros there.",
    )  # fmt: skip


def test_multi_head_attention_leaves_its_inputs_alone(solution):
    assert_input_untouched(Layer(solution), text(), *weights_of(), padding(*LEFT), what="multi_head_attention")


def test_it_is_repeatable(solution):
    assert_repeatable(Layer(solution), text(), *weights_of(), padding(*LEFT), what="the output")


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    layer, weights = Layer(solution), weights_of()
    assert_layout_is_free(lambda x: layer(x, *weights), text(), what="the output for a non-contiguous input")


def test_the_texts_of_a_batch_do_not_see_each_other(solution):
    layer, weights, x = Layer(solution, causal=False), weights_of(), text()
    changed = x.clone()
    changed[1] = draw("other", T=T, C=C)
    before = layer(x, *weights)
    assert_close(
        layer(changed, *weights)[0], before[0], "the output for text 0, after changing text 1,",
        because="x is (B, T, C), batch first: each text attends to its own tokens, which lie along axis 1.",
    )  # fmt: skip


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(Layer(solution), text(), *weights_of(), padding(*LEFT), what="the output")


def test_it_works_in_half_precision(solution):
    assert_half_precision(Layer(solution), text(), *weights_of(), padding(*LEFT))


def test_it_works_on_the_device_of_its_inputs(solution):
    assert_works_elsewhere(Layer(solution), text(), *weights_of(), padding(*LEFT), what="multi_head_attention")


# --- heads, scale, output layer ------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
def test_a_single_token_gets_its_own_value(solution, causal):
    x, (w, bias, out_w, out_b) = text(1), weights_of()
    right = F.linear(F.linear(x, w[2 * C :], bias[2 * C :]), out_w, out_b)
    assert_close(
        Layer(solution, causal=causal)(x, w, bias, out_w, out_b), right, "the output for a single token, "
            f"causal={causal},",
        because="One token attends to itself with weight 1, so its output is the output projection of its value; the "
        "last C rows of in_proj_weight and in_proj_bias make the value.",
    )  # fmt: skip


def test_equal_scores_average_the_values(solution):
    x, (w, bias, out_w, out_b) = text(), weights_of()
    w[C : 2 * C], bias[C : 2 * C] = 0.0, 0.0
    v = F.linear(x, w[2 * C :], bias[2 * C :])
    right = F.linear(v.mean(1, keepdim=True), out_w, out_b).expand(B, T, C)
    assert_close(
        Layer(solution, causal=False)(x, w, bias, out_w, out_b), right, "the output with keys of zero and causal=False",
        because="All scores are 0, so every token gets the average of all values of its text, put through the output "
        "projection; rows C to 2C of in_proj_weight make the keys.",
    )  # fmt: skip


def test_each_head_stays_in_its_channels(solution):
    layer, x, (w, bias, _, out_b) = Layer(solution, causal=False), text(), weights_of()
    same = torch.eye(C, device=x.device)
    before = layer(x, w, bias, same, out_b)
    for head in range(H):
        more = bias.clone()
        more[2 * C + head * D : 2 * C + (head + 1) * D] += 1.0
        right = torch.zeros(C, device=x.device)
        right[head * D : (head + 1) * D] = 1.0
        assert_close(
            layer(x, w, more, same, out_b) - before, right.expand(B, T, C),
            f"the change of the output when head {head}'s values grow by 1",
            because=f"Head {head} owns channels {head * D} to {(head + 1) * D - 1} of each token's value, and its "
            "result goes back there: weights that sum to 1 add exactly 1 in these channels, and nothing elsewhere.",
        )  # fmt: skip


@pytest.mark.parametrize("head", range(H))
def test_a_head_compares_its_own_queries_and_keys(solution, head):
    # Head `head` alone has scores that are not 0, so the other heads must go on averaging.
    x, (w, bias, _, out_b) = text(), weights_of()
    others = torch.ones(C, dtype=torch.bool, device=x.device)
    others[head * D : (head + 1) * D] = False
    w[:C][others], bias[:C][others] = 0.0, 0.0
    same = torch.eye(C, device=x.device)
    average = F.linear(x, w[2 * C :], bias[2 * C :]).mean(1, keepdim=True).expand(B, T, C)
    out = Layer(solution, causal=False)(x, w, bias, same, 0 * out_b)
    assert_close(
        out[..., others], average[..., others], f"the other heads' output when head {head} alone has queries",
        because=f"Head {head} works with channels {head * D} to {(head + 1) * D - 1} of query, key and value; its "
        "scores are no business of the others.",
    )  # fmt: skip


@pytest.mark.parametrize(("c", "h"), [(12, 3), (18, 2), (5, 1)])
def test_the_scores_are_divided_by_the_root_of_the_head_size(solution, c, h):
    # Queries are 1 everywhere, keys and values are x: token 1's share of the weight tells the scale.
    d, step = c // h, 0.25
    name_sizes(C=c, H=h, D=d)
    zero = draw("d", 1).new_zeros(c, c)
    same, bias, x = torch.eye(c, device=zero.device), zero.new_zeros(3 * c), zero.new_zeros(1, 2, c)
    bias[:c], x[0, 1] = 1.0, step
    weights = torch.cat([zero, same, same]), bias, same, zero[0]
    out = assert_tensor(solution.multi_head_attention(x, *weights, h, causal=False), "the output")
    share = (out[0, 0] / step).double().clamp(1e-6, 1 - 1e-6)
    measured = torch.log(share / (1 - share)).float()
    assert_close(
        measured, torch.full((c,), d * step / d**0.5, device=x.device),
        f"the difference of two scores, read back from the weights, with C = {c} and {h} heads,",
        because=f"A score is query · key / sqrt(D), where D = C // num_heads = {d} is the channels of a head.",
        rtol=1e-3,
        atol=1e-4,
    )  # fmt: skip


def test_every_query_asks_every_key(solution):
    x, weights = text(), weights_of()
    right = torchs(x, weights, H, causal=False)
    assert_close(
        Layer(solution, causal=False)(x, *weights), right, "the output with causal=False",
        because="F.multi_head_attention_forward with the same weights gives the expected value: row i of the scores is "
        "query i times each key, and each row shares out its weight over the keys.",
    )  # fmt: skip


def test_large_inputs_do_not_overflow(solution):
    x, weights = 100 * text(), weights_of()
    out, right = Layer(solution)(x, *weights), torchs(x, weights, H)
    assert_close(
        out, right, "the output for an input 100 times as large", atol=2e-3, rtol=1e-3, because=about_large_scores(out),
    )  # fmt: skip


# --- the causal mask -----------------------------------------------------------------------------


def test_later_tokens_do_not_change_earlier_outputs(solution):
    layer, x, weights = Layer(solution, causal=True), text(), weights_of()
    changed = x.clone()
    changed[:, 3:] = draw("other", B, T - 3, C)
    before = layer(x, *weights)
    assert_close(
        layer(changed, *weights)[:, :3], before[:, :3], "the output of tokens 0 to 2, after changing tokens 3 and 4,",
        because="With causal=True query i may attend to keys 0 to i, and to none that comes after it.",
    )  # fmt: skip


def test_a_causal_query_sees_itself_and_all_before(solution):
    x, (w, bias, out_w, out_b) = text(), weights_of()
    w[C : 2 * C], bias[C : 2 * C] = 0.0, 0.0
    v = F.linear(x, w[2 * C :], bias[2 * C :])
    average = v.cumsum(1) / torch.arange(1, T + 1, device=x.device).view(T, 1)
    right = F.linear(average, out_w, out_b)
    assert_close(
        Layer(solution, causal=True)(x, w, bias, out_w, out_b), right, "the output with keys of zero and causal=True",
        because="All scores are 0, so token t gets the average of values 0 to t, its own included.",
    )  # fmt: skip


def test_causal_is_the_default(solution):
    x, weights = text(), weights_of()
    told = Layer(solution, causal=True)(x, *weights)
    assert_identical(
        Layer(solution)(x, *weights), told, "the output without the argument causal",
        because="The signature ends in key_padding_mask=None, causal=True.",
    )  # fmt: skip


# --- padding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("where", ["right", "left"])
def test_padding_is_not_attended_to(solution, causal, where):
    x, weights, real = text(), weights_of(), padding(*(RIGHT if where == "right" else LEFT))
    right = torchs(x, weights, H, real, causal)
    assert_close(
        Layer(solution, causal=causal)(x, *weights, real), right, f"the output with padding on the {where} and "
            f"causal={causal}",
        because="A key is visible if it is real, True in its own text's row of key_padding_mask, and if causal allows "
        "it, in every head. The mask is about keys: a padded query attends to what it may see, like any other.",
    )  # fmt: skip


def test_a_padded_token_does_not_reach_the_others(solution):
    layer, x, weights = Layer(solution, causal=False), text(), weights_of()
    real = padding((slice(None), 1))
    seen = real.clone()
    changed = x.clone()
    changed[:, 1] = draw("other", B, C)
    before = layer(x, *weights, real)
    assert_close(
        layer(changed, *weights, real)[seen], before[seen], "the outputs of real tokens, after changing padded token "
            "1,",
        because="True in key_padding_mask marks the real tokens; a padded key has the weight 0 for every query.",
    )  # fmt: skip


def test_a_query_that_sees_nothing_gets_the_output_bias(solution):
    x, weights = text(), weights_of()
    right = weights[3].expand(2, C).clone()
    out = Layer(solution)(x, *weights, padding(*LEFT))
    assert_close(
        out[1, :2], right, "the output of queries that may attend to nothing",
        because="Weights of 0 make zeros before the output projection, and the projection of zeros is out_proj_bias.",
    )  # fmt: skip


def test_queries_beside_empty_ones_are_as_ever(solution):
    x, weights, real = text(), weights_of(), padding(*LEFT)
    right = torchs(x, weights, H, real)
    assert_close(
        Layer(solution)(x, *weights, real), right, "the output with padding on the left and causal=True",
        because="A query with something to see is as without the empty ones; a key is visible if both masks allow it.",
    )  # fmt: skip


def test_a_text_of_padding_only_gives_the_output_bias(solution):
    x, weights, real = text(), weights_of(), padding((0, slice(None)))
    right = torchs(x, weights, H, real, causal=False)
    assert_close(
        Layer(solution, causal=False)(x, *weights, real), right, "the output for text 0 of padding only and "
            "causal=False",
        because="No key of text 0 is real, so all its weights are 0, with causal=False as well.",
    )  # fmt: skip


@pytest.mark.parametrize("then", ["other padding", "no padding", "another length"])
def test_nothing_is_kept_from_call_to_call(solution, then):
    x, weights = text(8 if then == "another length" else T, name="y"), weights_of()
    real = padding((0, slice(3, 5))) if then == "other padding" else None
    right = torchs(x, weights, H, real)
    layer = Layer(solution)
    layer(text(), *weights, padding(*RIGHT))
    assert_close(
        layer(x, *weights, real), right, f"the output for a text with {then}, after another call,",
        because="A call follows from what it is given, and from nothing that came before: no mask is kept.",
    )  # fmt: skip


# --- learning ------------------------------------------------------------------------------------


def test_gradients_are_those_of_torch(solution):
    layer, real = Layer(solution), padding(*LEFT)
    assert_gradients_of(
        lambda x, *weights: layer(x, *weights, real), lambda x, *weights: torchs(x, weights, H, real),
        dict(zip(("x", *NAMES), (text(), *weights_of()), strict=True)),
        because="It is that of torch's own attention, with nothing from empty queries.",
    )  # fmt: skip
