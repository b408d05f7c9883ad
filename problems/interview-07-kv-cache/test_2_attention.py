"""Interview 07, second part: what Attention promises, without a cache and with one.

The oracle is F.scaled_dot_product_attention on the module's own c_attn and c_proj, over the whole text.
Shapes: B batch, T new tokens, S tokens so far, C n_embd, H n_head, D = C // H.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_moves,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_tensor,
    draw,
    fail,
    fill,
    name_sizes,
    observe,
    twins,
)
from common.testing.attention import (
    about_large_scores,
    assert_heads_stay_in_their_channels,
    assert_score_scale,
)
from common.testing.causality import assert_causal, assert_finite
from common.testing.comparisons import assert_same_gradients
from common.testing.elsewhere import DevicesDiffer, elsewhere

B, T, C, H, D = 4, 7, 15, 3, 5


def attention(solution):
    name_sizes(C=C, H=H, D=D)
    return fill(solution.Attention(C, H))


def text(length=T, name="x"):
    return draw(name, B=B, T=length, C=C)


def projected(model, x):
    """q, k, v, each (B, H, T, D), from the module's parameters."""
    parts = F.linear(x, model.c_attn.weight, model.c_attn.bias).chunk(3, dim=-1)
    return [part.unflatten(-1, (H, D)).transpose(1, 2) for part in parts]


def merged(model, heads):
    return F.linear(heads.transpose(1, 2).flatten(2), model.c_proj.weight, model.c_proj.bias)


def at_once(model, x):
    """What attention with the module's parameters gives for the whole of x."""
    with torch.no_grad():
        q, k, v = projected(model, x)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return merged(model, heads)


def in_pieces(solution, model, x, lengths):
    """The outputs for x handed over in pieces of these lengths, joined."""
    cache, outs, start = solution.KVCache(1), [], 0
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


# --- without a cache -----------------------------------------------------------------------------


@pytest.mark.parametrize("length", [1, T])
def test_the_output_has_the_shape_of_the_input(solution, length):
    because = "Every new token comes out with as many channels as it went in, and no other token does."
    assert_shape(
        attention(solution)(text(length)), (B, length, C), "the output without a cache", because=because
    )
    assert_shape(
        attention(solution)(text(length), solution.KVCache(1)), (B, length, C), "the output with an empty cache",
        because=because,
    )


def test_every_output_is_a_number(solution):
    assert_finite(attention(solution), text())


def test_the_input_is_left_as_it_was(solution):
    model, cache = attention(solution), solution.KVCache(1)
    assert_input_untouched(model, text(), what="Attention")
    assert_input_untouched(lambda x: model(x, cache), text(), what="Attention with a cache")


def test_without_a_cache_nothing_is_remembered(solution):
    assert_repeatable(attention(solution), text(), what="the output without a cache")


def test_each_head_has_its_channels(solution):
    assert_heads_stay_in_their_channels(attention(solution), text(), H)


def test_scores_are_divided_by_the_root_of_the_head_size(solution):
    assert_score_scale(attention(solution), draw("x", B=B, T=2, C=C), H)


def test_no_token_sees_a_later_one(solution):
    assert_causal(attention(solution), text())


def test_without_a_cache_it_is_causal_attention(solution):
    model, x = attention(solution), text()
    out = assert_tensor(model(x), "the output")
    assert_close(
        out, at_once(model, x), "the output without a cache",
        because="It is F.scaled_dot_product_attention of the queries, keys and values, each token seeing itself and "
        "those before it, and then c_proj.",
    )


def test_large_scores_do_not_overflow(solution):
    model, x = attention(solution), 100 * text()
    out = assert_tensor(model(x), "the output")
    assert_close(
        out, at_once(model, x), "the output for an input 100 times as large", because=about_large_scores(out),
        atol=2e-3, rtol=1e-3,
    )


def test_the_gradients_are_those_of_causal_attention(solution, reference):
    assert_same_gradients(*twins(solution.Attention, reference.Attention, C, H), text())


# --- with a cache --------------------------------------------------------------------------------


def test_every_token_is_put_into_the_cache_once(solution):
    model, cache, lengths = attention(solution), solution.KVCache(1), []
    with torch.no_grad():
        for piece in (6, 1, 2):
            model(text(piece), cache)
            lengths.append(len(cache))
    assert_equal(
        lengths, [6, 7, 9], "len(cache) after forward with 6, 1 and 2 tokens on an empty cache",
        because="forward appends the keys and values of its new tokens to the cache that it is given, once, and a "
        "cache that is still empty is a cache, too.",
    )


def test_a_text_read_at_once_into_an_empty_cache_changes_nothing(solution):
    model, x = attention(solution), text()
    assert_close(
        in_pieces(solution, model, x, [T]), at_once(model, x), "the output for a whole text and an empty cache",
        because="With nothing before it, it is plain causal attention: the cache only takes notes.",
    )


def with_past(solution, model, x, past, layer=0):
    """The output for x after keys and values that were appended to the cache by hand, and what is right."""
    cache = solution.KVCache(layer + 1)
    key, value = (draw(name, B=B, H=H, S=past, D=D) for name in ("key", "value"))
    cache.append(layer, key.clone(), value.clone())
    with torch.no_grad():
        q, k, v = projected(model, x)
        keys, values = torch.cat([key, k], dim=2), torch.cat([value, v], dim=2)
        visible = torch.arange(past + x.size(1)) <= past + torch.arange(x.size(1))[:, None]
        heads = F.scaled_dot_product_attention(q, keys, values, attn_mask=visible.to(x.device))
        expected = merged(model, heads)
        return assert_tensor(model(x, cache, layer), "the output"), expected


def test_the_past_is_what_was_appended(solution):
    out, expected = with_past(solution, attention(solution), text(1), 4)
    assert_close(
        out, expected, "the output for one token after 4 whose keys and values were appended by hand",
        because="A new token sees what the cache holds, whoever put it there, and itself; each weight is from its "
        "query and a key in the cache, and goes to the value beside that key.",
    )


def test_the_layer_says_where_in_the_cache(solution):
    out, expected = with_past(solution, attention(solution), text(1), 4, layer=2)
    assert_close(
        out, expected, "the output with layer=2, for a cache in which layer 2 holds 4 tokens and the others none,",
        because="The module's past is at the place `layer` of the cache.",
    )


def test_the_place_is_0_unless_it_is_given(solution):
    model, cache = attention(solution), solution.KVCache(2)
    with torch.no_grad():
        model(text(4), cache)
        model(text(4), cache, layer=1)
    assert_equal(
        len(cache), 4, "len(cache) of two layers, after 4 tokens without `layer` and 4 with layer=1",
        because="The signature is forward(x, cache=None, layer=0), so each of the two places holds 4 tokens.",
    )


def test_several_new_tokens_see_the_whole_past_and_no_future(solution):
    out, expected = with_past(solution, attention(solution), text(3), 4)
    assert_close(
        out, expected, "the output for 3 new tokens after a past of 4",
        because="Query t of the new ones stands at position 4 + t: it sees all 4 of the past and the new tokens 0 to "
        "t. The mask is (3, 7).",
    )


@pytest.mark.parametrize("lengths", [[6, 1], [1] * T, [3, 1, 1, 1, 1]], ids=str)
def test_token_by_token_is_the_same_as_at_once(solution, lengths):
    model, x = attention(solution), text()
    assert_close(
        in_pieces(solution, model, x, lengths), at_once(model, x),
        f"the output for pieces of {lengths} tokens, against all at once,",
        because="Each token finds in the cache the keys and values of all that came before it, in their order.",
    )


@pytest.mark.parametrize("lengths", [[4, 3], [1, 2, 4], [2, 5]], ids=str)
def test_piece_by_piece_is_the_same_as_at_once(solution, lengths):
    model, x = attention(solution), text()
    assert_close(
        in_pieces(solution, model, x, lengths), at_once(model, x),
        f"the output for pieces of {lengths} tokens, against all at once,",
        because="However a text is cut, query t of the new tokens, after a past of P, sees positions 0 to P + t.",
    )


def test_after_a_crop_the_text_goes_on_in_another_way(solution):
    model, cache, x, other = attention(solution), solution.KVCache(1), text(6), text(6, "y")
    mixed = torch.cat([x[:, :4], other[:, 4:]], dim=1)
    with torch.no_grad():
        model(x, cache)
        cache.crop(4)
        out = assert_tensor(model(mixed[:, 4:], cache), "the output")
    assert_close(
        out, at_once(model, mixed)[:, 4:], "the output for 2 tokens after a crop from 6 to 4",
        because="What was cropped is forgotten; the new tokens stand in its place.",
    )


def test_the_past_is_not_computed_again(solution):
    model, cache, x = attention(solution), solution.KVCache(1), text(6)
    with torch.no_grad():
        model(x[:, :5], cache)
        old = projected(model, x[:, :5])[1:]
        model.c_attn.weight.mul_(-0.5)
        q, k, v = projected(model, x[:, 5:])
        keys, values = torch.cat([old[0], k], dim=2), torch.cat([old[1], v], dim=2)
        heads = F.scaled_dot_product_attention(q, keys, values)
        expected = merged(model, heads)
        out = assert_tensor(model(x[:, 5:], cache), "the output")
    assert_close(
        out, expected, "the output for a new token, after c_attn had got other weights,",
        because="The keys and values of the past were computed when its tokens were read, and are kept: new weights "
        "reach new tokens only. Nothing of the past goes through c_attn again.",
    )


def test_two_texts_read_by_turns_do_not_mix(solution):
    model, texts = attention(solution), [text(5), text(5, "y")]
    caches, outs = [solution.KVCache(1), solution.KVCache(1)], [[], []]
    with torch.no_grad():
        for t in range(5):
            for x, cache, out in zip(texts, caches, outs, strict=True):
                out.append(model(x[:, t : t + 1], cache))
    for x, out in zip(texts, outs, strict=True):
        assert_close(
            torch.cat(out, dim=1), at_once(model, x), "the output of one of two texts that are read by turns",
            because="Each text has its own cache, and the past is there and nowhere else: the module keeps none of it.",
        )


def test_with_a_cache_the_rows_of_a_batch_do_not_mix(solution):
    model = attention(solution)
    assert_rows_independent(
        lambda x: in_pieces(solution, model, x, [4, 3]), text(), what="the output", other=text(name="y")
    )


# --- types and devices ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float64, 1e-5), (torch.float16, 0.05), (torch.bfloat16, 0.3)], ids=str
)
def test_it_works_in_other_float_types(solution, dtype, atol):
    x = text()
    expected = at_once(attention(solution), x)
    model = attention(solution).to(dtype)
    for how, out in (
        ("without a cache", assert_tensor(model(x.to(dtype)), "the output")),
        ("in pieces", in_pieces(solution, model, x.to(dtype), [4, 1, 2])),
    ):
        assert_equal(
            str(out.dtype), str(dtype), f"the dtype of the output {how}, in {dtype},",
            because="The answer has the type of parameters and input; a cast, or a tensor of a fixed type, changes it.",
        )
        assert_close(
            out.float(), expected, f"the output {how}, in {dtype},", atol=atol, rtol=atol,
            because="Only rounding may differ from float32.",
        )


def test_it_moves_to_another_device(solution):
    assert_moves(attention(solution), text(), what="the output without a cache")


def test_with_a_cache_it_works_on_another_device(solution):
    model, trouble = attention(solution), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            cache, x = solution.KVCache(1), send(text())
            model(x[:, :4], cache)
            cache.crop(3)
            model(x[:, 4:], cache)
        except DevicesDiffer as error:
            trouble = str(error)
    observe("a cache on another device", bool(trouble))
    if trouble:
        fail(
            "Attention with a cache does not work on another device:", expected="everything where x is", got=trouble,
            because="A tensor that is made on the way is made where x is, or the keys are: device=x.device.",
        )
