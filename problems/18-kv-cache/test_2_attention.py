"""Problem 18, second part: what CachedCausalSelfAttention promises, without a cache and with one.

Shapes: B batch, T new tokens, S tokens so far, C n_embd, H n_head, D = C // H.
"""

import pytest
import torch

from common import problem
from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    draw,
    fail,
    fill,
    observe,
    tiny,
)
from common.testing.attention import (
    assert_attn_dropout,
    assert_equals_torchs_attention,
    assert_every_head_learns,
    assert_heads_stay_in_their_channels,
    assert_large_scores,
    assert_only_weights_are_dropped,
    assert_resid_dropout,
    assert_score_scale,
    assert_single_token_gets_its_value,
    assert_weights_sum_to_one,
)
from common.testing.causality import assert_causal, assert_finite
from common.testing.comparisons import assert_gradients_of, assert_same_gradients
from common.testing.dtypes import assert_half_precision
from common.testing.elsewhere import DevicesDiffer, elsewhere

CONFIG = tiny()
B, T, C, H, N = 4, 7, CONFIG.n_embd, CONFIG.n_head, CONFIG.n_positions
D = C // H


def attention(solution, **changes):
    return fill(solution.CachedCausalSelfAttention(tiny(**changes)))


def text(length=T):
    return draw("x", B=B, T=length, C=C)


def problem_05s():
    """Problem 05's attention with the same parameters."""
    return fill(problem(5).CausalSelfAttention(CONFIG))


def at_once(x):
    """What it makes of the whole of x."""
    with torch.no_grad():
        return problem_05s()(x)


# --- what it is ----------------------------------------------------------------------------------


def test_the_layers_are_those_of_problem_05(solution):
    shapes = {"c_attn.weight": (3 * C, C), "c_attn.bias": (3 * C,), "c_proj.weight": (C, C), "c_proj.bias": (C,)}
    model = solution.CachedCausalSelfAttention(CONFIG)
    assert_parameters(model, shapes, "CachedCausalSelfAttention")
    assert_equal(
        sorted(model.state_dict()), ["c_attn.bias", "c_attn.weight", "c_proj.bias", "c_proj.weight"],
        "the list of state_dict keys",
        because="Neither a mask nor a cache is learned, so they do not belong into a checkpoint.",
    )


@pytest.mark.parametrize("length", [1, 6, N])
def test_the_output_has_the_shape_of_the_input(solution, length):
    x, model = text(length), attention(solution)
    because = "Every new token comes out with as many channels as it went in, and no other token does."
    assert_shape(model(x), (B, length, C), "the output without a cache", because=because)
    assert_shape(model(x, solution.KVCache()), (B, length, C), "the output with an empty cache", because=because)


def test_every_output_is_a_number(solution):
    assert_finite(attention(solution), text())


def test_large_scores_do_not_overflow(solution):
    assert_large_scores(attention(solution), text(), H, causal=True)


def test_the_input_is_left_as_it_was(solution):
    model, cache = attention(solution), solution.KVCache()
    assert_input_untouched(model, text(), what="CachedCausalSelfAttention")
    assert_input_untouched(lambda x: model(x, cache), text(), what="CachedCausalSelfAttention with a cache")


def test_without_a_cache_nothing_is_remembered(solution):
    assert_repeatable(attention(solution), text(), what="the output without a cache")


def test_without_a_cache_a_text_of_another_length_may_follow(solution):
    model = attention(solution)
    model(text(6))
    assert_close(
        model(text()), attention(solution)(text()), "the output without a cache, after a text of another length,",
        because="A layer that has read another text answers like one that has not: the past is in a cache alone.",
    )


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(attention(solution), text(), what="the output")


def test_it_works_in_half_precision(solution):
    assert_half_precision(attention(solution), text())


def test_it_moves_to_another_device(solution):
    assert_moves(attention(solution), text(), what="CachedCausalSelfAttention")


# --- without a cache it is problem 05 ------------------------------------------------------------


def test_without_a_cache_a_single_token_gets_its_own_value(solution):
    assert_single_token_gets_its_value(attention(solution), text(1))


def test_without_a_cache_the_weights_of_a_token_sum_to_one(solution):
    assert_weights_sum_to_one(attention(solution), text())


def test_without_a_cache_the_values_of_a_head_land_in_its_own_channels(solution):
    assert_heads_stay_in_their_channels(attention(solution), text(), H)


@pytest.mark.parametrize("length", [2, N])
def test_without_a_cache_no_token_sees_a_later_one(solution, length):
    assert_causal(attention(solution), text(length))


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    assert_score_scale(attention(solution), text(2), H)


def test_without_a_cache_the_output_is_that_of_fused_attention(solution):
    assert_equals_torchs_attention(attention(solution), text(), H, causal=True)


def test_every_parameter_gets_a_gradient(solution):
    assert_every_head_learns(attention(solution), text())


def test_the_gradients_are_those_of_problem_05(solution):
    assert_same_gradients(attention(solution), problem_05s(), text())


def test_attn_pdrop_leaves_what_comes_out_of_c_proj_alone(solution):
    assert_only_weights_are_dropped(attention(solution, attn_pdrop=0.4, resid_pdrop=0.0))


def test_attn_dropout_drops_attention_weights(solution):
    assert_attn_dropout(attention(solution, attn_pdrop=0.4, resid_pdrop=0.0), H, 0.4)


def test_resid_dropout_drops_the_output_of_c_proj(solution):
    assert_resid_dropout(attention(solution, attn_pdrop=0.0, resid_pdrop=0.4), 0.4)


# --- with a cache --------------------------------------------------------------------------------


def in_pieces(solution, x, lengths, model=None):
    """The outputs for x handed over in pieces of these lengths, joined."""
    model, cache, outs, start = model or attention(solution), solution.KVCache(), [], 0
    with torch.no_grad():
        for length in lengths:
            out = model(x[:, start : start + length], cache)
            assert_shape(
                out, (x.size(0), length, C), f"the output for {length} new tokens after {start} in the cache",
                because="One output comes for each new token: the queries are those of the new tokens only.",
            )
            outs.append(out)
            start += length
    return torch.cat(outs, dim=1)


def test_every_token_is_put_into_the_cache_once(solution):
    model, cache, lengths = attention(solution), solution.KVCache(), []
    for piece in (6, 1, 2):
        model(text(piece), cache)
        lengths.append(len(cache))
    assert_equal(
        lengths, [6, 7, 9], "len(cache) after forward with 6, 1 and 2 tokens on an empty cache",
        because="forward appends the keys and values of its new tokens to the cache that it is given, once, "
        "and a cache that is still empty is a cache, too.",
    )


def test_a_cache_that_holds_something_is_gone_on_with(solution):
    model, cache = attention(solution), solution.KVCache()
    cache.append(draw("key", B=B, H=H, T=2, D=D), draw("value", B=B, H=H, T=2, D=D))
    model(text(1), cache)
    assert_equal(
        len(cache), 3, "len(cache) after forward with 1 token on a cache that held 2",
        because="The new token comes behind those that are there.",
    )


def test_a_text_read_at_once_into_an_empty_cache_changes_nothing(solution):
    x = text()
    assert_close(
        in_pieces(solution, x, [T]), at_once(x), "the output for a whole text and an empty cache",
        because="With nothing before it, it is the attention of problem 05, mask and all: the cache only takes notes.",
    )


def test_the_gradients_are_those_of_problem_05_with_a_cache_too(solution):
    model = attention(solution)
    assert_gradients_of(
        lambda x: model(x, solution.KVCache()), problem_05s(), {"x": text()},
        because="An empty cache changes nothing on the way back either: gradients pass through what append returns.",
    )


def test_dropout_is_that_of_problem_05_with_an_empty_cache_too(solution):
    def with_a_cache(**changes):
        model = attention(solution, **changes)
        model.register_forward_pre_hook(lambda _, args: (*args, solution.KVCache()))
        return model

    assert_only_weights_are_dropped(with_a_cache(attn_pdrop=0.4, resid_pdrop=0.0))
    assert_attn_dropout(with_a_cache(attn_pdrop=0.4, resid_pdrop=0.0), H, 0.4)
    assert_resid_dropout(with_a_cache(attn_pdrop=0.0, resid_pdrop=0.4), 0.4)


def test_a_new_token_sees_the_past_and_itself(solution):
    x = text()
    assert_close(
        in_pieces(solution, x, [6, 1])[:, 6], at_once(x)[:, 6], "the output for one new token after 6 in the cache",
        because="It is the last token of the text: its query meets the keys of all tokens so far, itself included, "
        "and its weights their values.",
    )


@pytest.mark.parametrize("lengths", [[1] * T, [3] + [1] * 4], ids=str)
def test_token_by_token_is_the_same_as_at_once(solution, lengths):
    x = text()
    assert_close(
        in_pieces(solution, x, lengths), at_once(x), f"the output for pieces of {lengths} tokens, against all at once,",
        because="Each token finds in the cache the keys and values of all that came before it, in their order.",
    )


@pytest.mark.parametrize("lengths", [[4, 3], [1, 2, 4], [2, 5]], ids=str)
def test_several_new_tokens_at_once_do_not_see_each_others_future(solution, lengths):
    x = text()
    assert_close(
        in_pieces(solution, x, lengths), at_once(x), f"the output for pieces of {lengths} tokens, against all at once,",
        because="Query t of the new ones, after a past of P tokens, stands at position P + t and sees the keys up to "
        "there: its row of the mask is row P + t of the (S, S) triangle.",
    )


def test_two_texts_read_by_turns_do_not_mix(solution):
    model, texts = attention(solution), [draw("x", B=B, T=6, C=C), draw("y", B=B, T=6, C=C)]
    caches, outs = [solution.KVCache(), solution.KVCache()], [[], []]
    with torch.no_grad():
        for t in range(6):
            for x, cache, out in zip(texts, caches, outs, strict=True):
                out.append(model(x[:, t : t + 1], cache))
    for x, out in zip(texts, outs, strict=True):
        assert_close(
            torch.cat(out, dim=1), at_once(x), "the output of one of two texts that are read by turns",
            because="Each text has its own cache, and the past is there and nowhere else: the layer keeps none of it.",
        )


def test_a_text_without_a_cache_after_one_with_a_cache(solution):
    model, x = attention(solution), text()
    in_pieces(solution, draw("y", B=B, T=6, C=C), [5, 1], model)
    with torch.no_grad():
        assert_close(
            model(x), at_once(x), "the output without a cache, after calls with one,",
            because="Without a cache there is no past, whatever the layer has read before.",
        )


def test_with_a_cache_the_rows_of_a_batch_do_not_mix(solution):
    other = draw("y", B=B, T=T, C=C)
    assert_rows_independent(lambda x: in_pieces(solution, x, [4, 3]), text(), what="the output", other=other)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-5), (torch.float16, 0.05)], ids=str)
def test_with_a_cache_it_works_in_other_float_types(solution, dtype, atol):
    x = text()
    out = in_pieces(solution, x.to(dtype), [4, 1, 2], attention(solution).to(dtype))
    assert_equal(
        str(out.dtype), str(dtype), f"the dtype of the output with a cache, in {dtype},",
        because="The answer has the type of parameters and input; a cast, or a tensor of a fixed type, changes it.",
    )
    assert_close(
        out.float(), at_once(x), f"the output with a cache, in {dtype},", atol=atol, rtol=atol,
        because="Only rounding may differ from float32, with all at once.",
    )


def test_with_a_cache_it_works_on_another_device(solution):
    model, trouble = attention(solution), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            cache, x = solution.KVCache(), send(text())
            model(x[:, :4], cache)
            model(x[:, 4:], cache)
        except DevicesDiffer as error:
            trouble = str(error)
    observe("a cache on another device", bool(trouble))
    if trouble:
        fail(
            "CachedCausalSelfAttention with a cache does not work on another device:",
            expected="everything where x is", got=trouble,
            because="A tensor that is made in forward or in append has to be made where x is, or the keys are: "
            "device=x.device.",
        )
