"""Problem 18: what KVCache, CachedCausalSelfAttention and generate_cached promise, from cause to consequence.

Shapes: B batch, T new tokens, S tokens so far, C n_embd, H n_head, D = C // H. What generate_cached writes is compared
with a plain loop over the model, and where it draws with problem 15's generate: same seed, same draws.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from common import problem
from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_raises,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    draw_ids,
    fail,
    fill,
    observe,
    tiny,
)
from common.testing.attention import (
    assert_attn_dropout,
    assert_equals_torchs_attention,
    assert_every_head_learns,
    assert_resid_dropout,
    assert_score_scale,
    assert_single_token_gets_its_value,
)
from common.testing.causality import assert_causal
from common.testing.elsewhere import DevicesDiffer, elsewhere, is_elsewhere

CONFIG = tiny()
B, T, C, H, V = 2, 7, CONFIG.n_embd, CONFIG.n_head, CONFIG.vocab_size
D = C // H


# --- KVCache -------------------------------------------------------------------------------------


def pieces(*lengths):
    """Keys and values of this many tokens each: ([keys (2, 3, t, 5)], [values (2, 3, t, 5)])."""
    return ([draw(f"{name}{i}", 2, 3, t, 5) for i, t in enumerate(lengths)] for name in ("key", "value"))


def appended(cache, key, value):
    """cache.append(key, value), which has to give a pair of tensors."""
    result = cache.append(key, value)
    pair = isinstance(result, tuple | list) and len(result) == 2
    observe("append returns a pair", pair)
    if not pair:
        fail("KVCache.append does not return a pair:", expected="(keys, values)", got=type(result).__name__, because="`return keys, values`: those of all tokens so far.")
    return tuple(assert_tensor(part, f"the {name} that append returns") for part, name in zip(result, ("keys", "values"), strict=True))


def test_a_new_cache_is_empty(solution):
    assert_equal(len(solution.KVCache()), 0, "len(KVCache())", because="A cache that has seen nothing holds no tokens.")


def test_the_first_tokens_come_back_as_they_are(solution):
    (key,), (value,) = pieces(4)
    keys, values = appended(solution.KVCache(), key, value)
    swapped = keys.shape == value.shape and torch.equal(keys, value)
    says = "Keys and values are swapped." if swapped else "With nothing before them, the tokens so far are the new ones."
    assert_close(keys, key, "the keys after the first append", because=says)
    assert_close(values, value, "the values after the first append", because=says)


@pytest.mark.parametrize("lengths", [(4, 1), (1, 1, 1), (4, 2, 1)], ids=str)
def test_new_tokens_come_after_the_old_ones(solution, lengths):
    (new_keys, new_values), cache = pieces(*lengths), solution.KVCache()
    for i, pair in enumerate(zip(new_keys, new_values, strict=True), 1):
        result = appended(cache, *pair)
        for name, got, parts in zip(("keys", "values"), result, (new_keys, new_values), strict=True):
            expected = torch.cat(parts[:i], dim=2)
            because = "All tokens so far come back, the oldest first, joined along the axis of the tokens: torch.cat([old, new], dim=2)."
            if got.shape == expected.shape and i > 1 and torch.equal(got, torch.cat([*parts[i - 1 : i], *parts[: i - 1]], dim=2)):
                because = "The new tokens come before the old ones: torch.cat([old, new], dim=2), in this order."
            elif got.shape == parts[i - 1].shape and i > 1:
                because = f"Only the new tokens come back: the {name} of earlier calls have to be kept and returned with them."
            elif i > 2 and got.shape[2] == lengths[0] + lengths[i - 1]:
                because = "The tokens of the second append are gone in the third: what append returns has to be kept, too."
            assert_close(got, expected, f"the {name} after {i} of the appends of {lengths} tokens", because=because)


def test_its_length_is_the_number_of_tokens(solution):
    cache, lengths = solution.KVCache(), []
    for key, value in zip(*pieces(4, 1, 2), strict=True):
        cache.append(key, value)
        lengths.append(len(cache))
    says = "len(cache) counts the tokens held, the size of axis 2 of (B, H, S, D)."
    if lengths == [1, 2, 3]:
        says = "len counts the calls of append, one of which may bring many tokens: count the tokens, axis 2 of (B, H, S, D)."
    elif lengths[0] in (2, 3, 5):
        says = f"len is the size of axis {[2, 3, 4, 5].index(lengths[0])} of (B, H, S, D); the tokens are axis 2."
    assert_equal(lengths, [4, 5, 7], "len(cache) after appends of 4, 1 and 2 tokens", because=says)


def test_two_caches_share_nothing(solution):
    new_keys, new_values = pieces(4, 2)
    one, other = solution.KVCache(), solution.KVCache()
    one.append(new_keys[0], new_values[0])
    assert_equal(len(other), 0, "the length of a cache, after an append to another one,", because="The tensors are kept by the class instead of the object: set them in __init__, as self.keys.")
    keys, _ = appended(other, new_keys[1], new_values[1])
    assert_close(keys, new_keys[1], "the keys in a cache, after an append to another one,", because="Each cache holds its own tensors: set them in __init__, as self.keys.")


def test_a_cache_leaves_what_it_was_given_and_what_it_gave(solution):
    cache, (new_keys, new_values) = solution.KVCache(), pieces(4, 2, 1)
    before, first = [key.clone() for key in new_keys], None
    for key, value in zip(new_keys, new_values, strict=True):
        keys, _ = appended(cache, key, value)
        first = keys if first is None else first
    for key, old in zip(new_keys, before, strict=True):
        assert_identical(key, old, "a key that was appended", because="append works on its arguments in place: torch.cat makes a new tensor.")
    assert_identical(first, before[0], "what the first append returned, after two more,", because="A result that was handed out is changed in place later: torch.cat makes a new tensor.")


def test_a_cache_keeps_the_type(solution):
    cache = solution.KVCache()
    for key, value in zip(*pieces(4, 1), strict=True):
        keys, values = appended(cache, key.double(), value.double())
        assert_equal([str(keys.dtype), str(values.dtype)], ["torch.float64"] * 2, "the dtype of keys and values in float64", because="A buffer of a fixed type, or a cast, changes it.")


# --- CachedCausalSelfAttention without a cache ---------------------------------------------------


def attention(solution, config=CONFIG):
    return fill(solution.CachedCausalSelfAttention(config))


def at_once(x):
    """What problem 05's attention makes of the whole of x, with the same parameters."""
    with torch.no_grad():
        return fill(problem(5).CausalSelfAttention(CONFIG))(x)


def test_the_layers_are_those_of_problem_05(solution):
    model = solution.CachedCausalSelfAttention(CONFIG)
    assert_parameters(
        model, {"c_attn.weight": (3 * C, C), "c_attn.bias": (3 * C,), "c_proj.weight": (C, C), "c_proj.bias": (C,)}, "CachedCausalSelfAttention",
    )  # fmt: skip
    assert_equal(
        sorted(model.state_dict()), ["c_attn.bias", "c_attn.weight", "c_proj.bias", "c_proj.weight"], "the list of state_dict keys",
        because="Neither a mask nor a cache is learned, so they do not belong into a checkpoint.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, 4, CONFIG.n_positions])
def test_the_output_has_the_shape_of_the_input(solution, length):
    x, model = draw("x", B, length, C), attention(solution)
    assert_shape(model(x), (B, length, C), "the output without a cache")
    assert_shape(model(x, solution.KVCache()), (B, length, C), "the output with an empty cache", because="One output for each new token.")


def test_without_a_cache_nothing_is_remembered(solution):
    assert_repeatable(attention(solution), draw("x", B, T, C), what="the output without a cache")


def test_without_a_cache_a_single_token_gets_its_own_value(solution):
    assert_single_token_gets_its_value(attention(solution), draw("x", B, 1, C))


@pytest.mark.parametrize("length", [2, 5, CONFIG.n_positions])
def test_without_a_cache_no_token_sees_a_later_one(solution, length):
    assert_causal(attention(solution), draw("x", B, length, C))


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    assert_score_scale(attention(solution), draw("x", B, 2, C), H)


def test_without_a_cache_it_is_the_attention_of_problem_05(solution):
    assert_equals_torchs_attention(attention(solution), draw("x", B, T, C), H, causal=True)


def test_attn_dropout_drops_attention_weights(solution):
    assert_attn_dropout(attention(solution, tiny(attn_pdrop=0.4, resid_pdrop=0.0)), H, 0.4)


def test_resid_dropout_drops_the_output_of_c_proj(solution):
    assert_resid_dropout(attention(solution, tiny(attn_pdrop=0.0, resid_pdrop=0.4)), 0.4)


def test_every_parameter_gets_a_gradient(solution):
    assert_every_head_learns(attention(solution), draw("x", B, T, C))


# --- CachedCausalSelfAttention with a cache ------------------------------------------------------


def in_pieces(solution, x, lengths, model=None):
    """The outputs for x handed over in pieces of these lengths, joined; and the cache."""
    model, cache, outs, start = model or attention(solution), solution.KVCache(), [], 0
    with torch.no_grad():
        for length in lengths:
            out = model(x[:, start : start + length], cache)
            assert_shape(out, (x.size(0), length, C), f"the output for {length} new tokens after {start} in the cache", because="One output for each new token: the queries are those of the new tokens only.")
            outs.append(out)
            start += length
    return torch.cat(outs, dim=1), cache


def test_a_text_read_at_once_into_an_empty_cache_changes_nothing(solution):
    model, x = attention(solution), draw("x", B, T, C)
    out, _ = in_pieces(solution, x, [T], model)
    with torch.no_grad():
        q, k, v = (part.view(B, T, H, D).transpose(1, 2) for part in model.c_attn(x).chunk(3, dim=-1))
        usual = {
            "Nothing is masked: also with a cache a token sees no later one of those that come with it.": (q, k, v, False),
            "The queries are put into the cache in place of the keys.": (q, q, v, True),
            "Keys and values are swapped on their way through the cache.": (q, v, k, True),
        }
        because = "With nothing before it, it is the attention of problem 05, mask and all: the cache only takes notes."
        for says, (query, key, value, causal) in usual.items():
            wrong = model.c_proj(F.scaled_dot_product_attention(query, key, value, is_causal=causal).transpose(1, 2).flatten(2))
            because = says if torch.allclose(out, wrong, atol=1e-4) else because
    assert_close(out, at_once(x), "the output for a whole text and an empty cache", because=because)


def test_every_token_is_put_into_the_cache_once(solution):
    model, cache, lengths = attention(solution), solution.KVCache(), []
    for piece in (4, 1, 2):
        model(draw("x", B, piece, C), cache)
        lengths.append(len(cache))
    cache = solution.KVCache()
    cache.append(draw("key", B, H, 2, D), draw("value", B, H, 2, D))
    model(draw("x", B, 1, C), cache)
    lengths.append(len(cache))
    says = {
        (0, 0, 0, 3): "forward never appends to an empty cache: `if cache:` is False for one, as its length is 0. Ask `cache is not None`.",
        (0, 0, 0, 2): "forward does not use the cache: k, v = cache.append(k, v), if there is one.",
        (8, 10, 14, 4): "Each token is appended twice.",
    }.get(tuple(lengths), "forward appends the keys and values of its new tokens, once.")
    assert_equal(lengths, [4, 5, 7, 3], "len(cache) after forward with 4, 1 and 2 tokens, and after 1 token on a cache that held 2,", because=says)


def test_a_new_token_sees_the_past_and_itself(solution):
    model, x = attention(solution), draw("x", B, T, C)
    got, _ = in_pieces(solution, x, [4, 1], model)
    value = model.c_attn(x)[..., 2 * C :]
    with torch.no_grad():
        usual = {
            "The new token sees itself alone: attend over all keys and values that append returns.": model(x[:, 4:5])[:, 0],
            "The new token sees the first token alone: the mask is that of a text of one token. Query t stands at position past + t: take the last T rows of the (S, S) mask.": model.c_proj(value[:, 0]),
        }
    says = next((text for text, wrong in usual.items() if wrong.shape == got[:, 4].shape and torch.allclose(got[:, 4], wrong, atol=1e-4)), "Its query meets the keys of all tokens so far, and so do its weights the values: nothing of it is masked.")
    assert_close(got[:, 4], at_once(x)[:, 4], "the output for one new token after 4 in the cache", because=says)


@pytest.mark.parametrize("lengths", [[1] * T, [3] + [1] * 4], ids=str)
def test_token_by_token_is_the_same_as_at_once(solution, lengths):
    x = draw("x", B, T, C)
    got, _ = in_pieces(solution, x, lengths)
    assert_close(got, at_once(x), f"the output for pieces of {lengths} tokens, compared with all at once,", because="What the cache holds after several steps is not what those tokens gave: keys and values of each, in order.")


@pytest.mark.parametrize("lengths", [[4, 3], [1, 2, 4], [2, 5]], ids=str)
def test_several_new_tokens_at_once_do_not_see_each_others_future(solution, lengths):
    x = draw("x", B, T, C)
    got, _ = in_pieces(solution, x, lengths)
    says = "Query t stands at position past + t, and sees the keys up to there: the mask has T rows and S columns, the last T rows of the (S, S) triangle."
    with torch.no_grad():
        first = lengths[0]
        q, k, v = (part.view(B, T, H, D).transpose(1, 2) for part in attention(solution).c_attn(x).chunk(3, dim=-1))
        every = F.scaled_dot_product_attention(q[:, :, first : first + lengths[1]], k[:, :, : first + lengths[1]], v[:, :, : first + lengths[1]])
        every = attention(solution).c_proj(every.transpose(1, 2).flatten(2))
        if torch.allclose(got[:, first : first + lengths[1]], every, atol=1e-4):
            says = "With a cache there is no mask: the new tokens see each other's future. One new token needs none, several do: the last T rows of the (S, S) triangle."
    assert_close(got, at_once(x), f"the output for pieces of {lengths} tokens, compared with all at once,", because=says)


def test_two_texts_read_by_turns_do_not_mix(solution):
    model, texts = attention(solution), [draw("x", B, 4, C), draw("y", B, 4, C)]
    caches, outs = [solution.KVCache(), solution.KVCache()], [[], []]
    with torch.no_grad():
        for t in range(4):
            for x, cache, out in zip(texts, caches, outs, strict=True):
                out.append(model(x[:, t : t + 1], cache))
    for x, out in zip(texts, outs, strict=True):
        assert_close(torch.cat(out, dim=1), at_once(x), "the output of one of two texts that are read by turns, each with its own cache,", because="The past is in the cache and nowhere else: the layer keeps none of it.")


def test_a_text_without_a_cache_after_one_with_a_cache(solution):
    model, x = attention(solution), draw("x", B, T, C)
    in_pieces(solution, draw("y", B, 5, C), [4, 1], model)
    with torch.no_grad():
        assert_close(model(x), at_once(x), "the output without a cache, after calls with one,", because="The layer has kept something of the other text. Without a cache there is no past.")


def test_the_input_is_left_as_it_was(solution):
    model, cache = attention(solution), solution.KVCache()
    assert_input_untouched(lambda x: model(x, cache), draw("x", B, T, C), what="CachedCausalSelfAttention")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(lambda x: in_pieces(solution, x, [4, 3])[0], draw("x", B, T, C), what="the output", other=draw("y", B, T, C))


def test_it_works_in_double_precision(solution):
    model, x = attention(solution), draw("x", B, T, C)
    assert_keeps_dtype(model, x, what="the output")
    out, _ = in_pieces(solution, x.double(), [4, 1, 2], model.double())
    assert_equal(str(out.dtype), "torch.float64", "the dtype of the output with a cache, in float64,", because="A tensor of a fixed type, or a cast, changes it.")


def test_it_moves_to_another_device(solution):
    assert_moves(attention(solution), draw("x", B, T, C), what="CachedCausalSelfAttention")
    model, trouble = attention(solution), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            cache, x = solution.KVCache(), send(draw("x", B, T, C))
            model(x[:, :4], cache)
            model(x[:, 4:], cache)
        except DevicesDiffer as error:
            trouble = str(error)
    observe("a cache on another device", bool(trouble))
    if trouble:
        fail("CachedCausalSelfAttention with a cache does not work on another device:", expected="everything where x is", got=trouble, because="A tensor is made on the CPU: the mask needs x.device, a buffer the device of the keys.")


# --- generate_cached: what it writes -------------------------------------------------------------

LIMIT = CONFIG.n_positions


def gpt2(n_layer=1, **changes):
    """A GPT-2 of problem 10 whose texts depend on every token and its position, in eval mode."""
    model = fill(problem(10).GPT2Model(tiny(n_layer=n_layer, **changes)))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("bias"):
                p.mul_(0.2)
            elif name.endswith("attn.c_proj.weight"):
                p.mul_(6.0)
        model.wpe.weight.mul_(0.5)
        model.wte.weight.copy_(3 * F.normalize(model.wte.weight, dim=-1))
    return model


def prompt(size=5, length=4):
    return draw_ids("prompt", size, length)


def plain(model, ids, n_tokens, max_context=LIMIT):
    """The greedy loop of problem 15 without any cache, as lists."""
    was_training, text = model.training, ids
    model.eval()
    with torch.no_grad():
        for _ in range(n_tokens):
            text = torch.cat([text, model(text[:, -max_context:])[:, -1].argmax(-1, keepdim=True)], 1)
    model.train(was_training)
    return text[:, ids.size(1) :].tolist()


def seeded(number):
    return torch.Generator(device=draw("d", 1).device).manual_seed(number)


def greedy(solution, model, ids, n_tokens, max_context=LIMIT, **options):
    return assert_tensor(solution.generate_cached(model, ids, n_tokens, max_context, temperature=0, **options), "the result of generate_cached")


def test_two_calls_share_nothing(solution):
    model = gpt2(embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)
    text = greedy(solution, model, prompt(), 3).tolist()
    if text != plain(model, prompt(), 3):
        return  # why, is for later checks to say
    says = "Something of an earlier call is left: make new caches in each call, not in a default argument, the model or the module."
    for ids in (draw_ids("longer", 5, LIMIT - 1), draw_ids("fewer", 2, 6), prompt()):
        what = f"after a call of generate_cached with a prompt of shape (5, 4), one of shape {tuple(ids.shape)}"
        try:
            text = greedy(solution, model, ids, 1).tolist()
        except (RuntimeError, IndexError) as error:
            observe("another call", "fails")
            fail(f"{what} fails:", expected="calls that share nothing", got=str(error).splitlines()[0], because=says)
        assert_equal(text, plain(model, ids, 1), f"the new token of each row, {what},", because=says)


def test_greedy_text_is_repeatable(solution):
    ids = prompt(12)
    for model in (gpt2(), gpt2().train()):
        texts = [greedy(solution, model, ids, 1).tolist() for _ in range(2)]
        was = "training" if model.training else "eval"
        assert_equal(texts[1], texts[0], f"what is written for a prompt for the second time, from a model in {was} mode,", because="Dropout is on. The model works in eval mode while it generates; layers that you make yourself start in training mode, so call eval() on them too.")


@pytest.mark.parametrize(("size", "n"), [(3, 5), (1, 1), (2, 0)])
def test_the_result_holds_the_new_tokens_only(solution, size, n):
    out = greedy(solution, gpt2(), prompt(size), n)
    says = "The prompt is still in front: return the new tokens only." if out.ndim == 2 and out.size(1) == 4 + n else "As in generate: one column for each new token, (B, n_tokens)."
    assert_shape(out, (size, n), f"generate_cached(model, batch, {n}, ...) for a prompt of shape {(size, 4)}", because=says)
    if n:
        assert_equal(str(out.dtype), "torch.int64", "the dtype of what generate_cached returns", because="Token ids are int64.")


def without(change, n_layer):
    """The GPT-2 from above with one part taken out."""
    model = gpt2(n_layer)
    with torch.no_grad():
        change(model)
    return model


def silence(*layers):
    for layer in layers:
        layer.weight.zero_()
        layer.bias.zero_()


def set_norm(model, name):
    for part in [model] if name == "ln_f" else model.h:
        setattr(part, name, torch.nn.Identity())


LEFT_OUT = {
    "The position embeddings are left out: wte of the ids plus wpe of their positions.": lambda model: model.wpe.weight.zero_(),
    "The feed-forward layers are left out: after attention comes x = x + block.mlp(block.ln_2(x)).": lambda model: silence(*(block.mlp.c_proj for block in model.h)),
    "Attention is left out: x = x + attention(block.ln_1(x)).": lambda model: silence(*(block.attn.c_proj for block in model.h)),
    "ln_f is left out: it comes after the last block, before lm_head.": lambda model: set_norm(model, "ln_f"),
    "ln_1 is left out: attention reads block.ln_1(x).": lambda model: set_norm(model, "ln_1"),
    "ln_2 is left out: the feed-forward layer reads block.ln_2(x).": lambda model: set_norm(model, "ln_2"),
    "Only the first block is run: walk over all of model.h.": lambda model: setattr(model, "h", model.h[:1]),
    "The positions start at 1: the first token has position 0.": lambda model: model.wpe.weight.copy_(model.wpe.weight.roll(-1, 0)),
}


def test_the_first_token_is_what_the_model_says_after_the_prompt(solution):
    ids = prompt(12)
    for n_layer in (1, 3):
        got, right = greedy(solution, gpt2(n_layer), ids, 1).tolist(), plain(gpt2(n_layer), ids, 1)
        says = "The prompt goes through the model as in problem 10: wte + wpe, each block of h with both residuals, ln_f, lm_head, and the logits of its last position count."
        if got != right:
            says = next((text for text, change in LEFT_OUT.items() if got == plain(without(change, n_layer), ids, 1)), says)
        assert_equal(got, right, f"the first new token of each of 12 rows, from a model with n_layer={n_layer},", because=says)


@pytest.mark.parametrize("length", [1, 4])
def test_one_layer_without_positions_goes_on_from_its_cache(solution, length):
    model, ids = gpt2(), prompt(5, length)
    with torch.no_grad():
        model.wpe.weight.zero_()
    got, right = greedy(solution, model, ids, LIMIT - length).tolist(), plain(model, ids, LIMIT - length)
    first = [row[0] for row in got] == [row[0] for row in right]
    says = "The first new token is right: what goes wrong comes later. With a cache feed the tokens that are not in it yet, each once." if first else "Already the first new token is wrong."
    assert_equal(got, right, f"what a model of one layer and without positions writes after {length} tokens, while all fit,", because=says)


def test_a_new_token_has_the_position_after_the_past(solution):
    model, ids = gpt2(), prompt()
    says = "Without positions the text was right. With n tokens in the cache the next one has position n: not 0, and not n + 1."
    assert_equal(greedy(solution, model, ids, 7).tolist(), plain(model, ids, 7), "what a model of one layer writes, while all fit,", because=says)


def test_each_layer_has_a_cache_of_its_own(solution):
    model, ids = gpt2(n_layer=3), prompt()
    says = "With one layer the text was right. Each layer needs a cache of its own: [KVCache() for _ in model.h], and not one for all."
    assert_equal(greedy(solution, model, ids, 7).tolist(), plain(model, ids, 7), "what a model of three layers writes, while all fit,", because=says)


@pytest.mark.parametrize(
    ("length", "n", "max_context"), [(2, 8, 5), (7, 3, 5), (3, 3, 1), (4, 10, LIMIT), (LIMIT, 3, LIMIT)], ids=str,
)  # fmt: skip
def test_the_text_goes_on_when_the_window_slides(solution, length, n, max_context):
    model, ids = gpt2(n_layer=2), prompt(5, length)
    got, right = greedy(solution, model, ids, n, max_context).tolist(), plain(model, ids, n, max_context)
    fits = max(max_context - length + 1, 1)
    if [row[:fits] for row in got] == [row[:fits] for row in right]:
        says = "Up to where the window slides it is right. Then the oldest token leaves, every other one moves to the position before, and all keys and values are out of date: empty the caches and read the last max_context tokens again."
    else:
        says = "It is wrong before the window slides: the model sees the last max_context tokens, positions counted from the first of them."
    assert_equal(got, right, f"what is written after {length} tokens with n_tokens={n} and max_context={max_context}", because=says)


def test_one_row_of_the_batch_does_not_touch_another(solution):
    model, ids = gpt2(), prompt()
    other = ids.clone()
    other[1] = (other[1] + 1) % V
    before, changed = (greedy(solution, model, x, 5) for x in (ids, other))
    assert_equal(changed[0].tolist(), before[0].tolist(), "the new tokens of row 0, after changing only the prompt of row 1,", because="The rows are independent texts: something mixes the batch axis.")


@pytest.mark.parametrize("options", [{}, {"temperature": 0.6}, {"temperature": 2.0, "top_k": 9, "top_p": 0.9}], ids=str)
def test_the_same_seed_draws_the_same_text_as_generate(solution, options):
    model, ids = gpt2(), prompt()
    got = assert_tensor(solution.generate_cached(model, ids, 9, LIMIT, generator=seeded(5), **options), "the result of generate_cached").tolist()
    generate = problem(15).generate
    right = generate(model, ids, 9, LIMIT, generator=seeded(5), **options).tolist()
    if got == right:
        says = ""
    elif got == plain(model, ids, 9):
        says = "This is the greedy text: hand temperature on, and draw."
    elif options and got == generate(model, ids, 9, LIMIT, generator=seeded(5)).tolist():
        says = f"The options {', '.join(options)} have no effect: hand them on."
    else:
        says = "Draw as generate does, in each step once for the whole batch: torch.multinomial(filter_logits(logits, temperature, top_k, top_p).softmax(-1), 1, generator=generator), or let generate itself do it."
    assert_equal(got, right, f"what generate_cached draws with a generator of seed 5 and {options or 'no options'}, compared with generate,", because=says)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 0.01}], ids=str)
def test_where_one_token_is_left_there_is_no_choice(solution, options):
    model, ids = gpt2(), prompt()
    got = assert_tensor(solution.generate_cached(model, ids, 4, LIMIT, **options), "the result of generate_cached").tolist()
    assert_equal(got, plain(model, ids, 4), f"what generate_cached writes with {options}", because="Only the most likely token has any probability then: hand the option on to filter_logits.")


def test_a_row_that_has_ended_is_filled_with_eos(solution):
    model, ids = gpt2(), prompt()
    text = plain(model, ids, 10)
    eos = text[0][2]  # row 0 ends first
    right = []
    for row in text:
        end = row.index(eos) + 1 if eos in row else 10
        right.append(row[:end] + [eos] * (10 - end))
    got = greedy(solution, model, ids, 10, eos_id=eos)
    assert_true(got.ndim == 2 and got.size(1) <= 10, "with eos_id the result has more than n_tokens columns", because="As in generate: (B, n_tokens), or fewer where all rows have ended.")
    full = [row + [eos] * (10 - len(row)) for row in got.tolist()]
    says = "eos_id has no effect: hand it on." if full == text else "As in generate: once a row has drawn eos_id every later token of it is eos_id, and the other rows go on."
    assert_equal(full, right, f"what is written with eos_id={eos}", because=says)
    end = text[0].index(eos) + 1
    row = greedy(solution, model, ids[:1], 10, eos_id=eos).tolist()[0]
    says = "Generation ends once all rows have drawn eos_id, as in generate; the end token is part of the result."
    assert_equal(row[:end], text[0][:end], f"what is written for row 0 alone with eos_id={eos}, up to its end,", because=says)
    assert_equal([token for token in row[end:] if token != eos], [], f"the list of other tokens than eos_id={eos} after the end of the only row", because=says)


# --- generate_cached: what it costs --------------------------------------------------------------


class Passes(TorchFunctionMode):
    """Counts the tokens that meet a weight, known by its shape, and notes whether a graph is built."""

    def __init__(self, model):
        super().__init__()
        self.weights = {"c_fc": (CONFIG.n_inner, C), "c_attn": (3 * C, C)}
        self.n_layer, self.counted, self.graph = len(model.h), dict.fromkeys(self.weights, 0), False

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        shapes = [tuple(a.shape) for a in args if isinstance(a, torch.Tensor)]
        for name, shape in self.weights.items():
            if len(shapes) > 1 and (shape in shapes or shape[::-1] in shapes) and isinstance(result, torch.Tensor) and result.shape[-1] == shape[0]:
                self.counted[name] += result.numel() // shape[0]
                self.graph = self.graph or result.requires_grad
        return result

    def per_layer(self):
        """How many tokens of the whole batch passed, on average over the layers; the larger count."""
        return max(self.counted.values()) / self.n_layer


@pytest.mark.parametrize(("length", "n"), [(4, 7), (1, 5)])
def test_while_the_text_fits_no_token_is_read_twice(solution, length, n):
    model, ids = gpt2(n_layer=2), prompt(2, length)
    with Passes(model) as passes:
        greedy(solution, model, ids, n)
    read, limit = passes.per_layer() / 2, length + n
    observe("tokens read", "each once" if read <= limit else read)
    if read > limit:
        every = sum(range(length, length + n))
        fail(
            f"tokens are read again, though {length} + {n} tokens fit into max_context={LIMIT}:", expected=f"at most {limit} tokens through each layer, each once", got=f"{read:g}" + (", as many as without a cache" if read >= every else ""),
            because="After the prompt each step feeds the newest token alone; the caches know the rest.",
        )  # fmt: skip


# --- generate_cached: manners --------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_the_model_works_in_eval_mode_and_gets_its_mode_back(solution, training):
    model, ids = gpt2(), prompt()
    right = plain(model, ids, 5)
    got = greedy(solution, model.train(training), ids, 5).tolist()
    assert_equal(got, right, f"what a model in {'training' if training else 'eval'} mode writes", because="Dropout disturbs each token: the model works in eval mode while it generates, its dropout layers too.")
    assert_equal(model.training, training, "model.training after generate_cached", because="Leave the mode as you found it, as in generate.")
    modes = {name: part.training for name, part in model.named_modules() if part.training != training}
    assert_equal(modes, {}, "the training mode of the model's parts after generate_cached, where it differs from the model's,", because="model.train(was_training) reaches every part; setting the attribute does not.")


def test_the_mode_comes_back_after_an_error_too(solution):
    model = gpt2().train()
    for options, named in (({"temperature": -1.0}, "-1"), ({"top_k": 0}, "0"), ({"top_p": 1.5}, "1.5")):
        (name, value), = options.items()
        with assert_raises(ValueError, f"generate_cached(..., {name}={value})", naming=[named], because=f"Hand {name} on to filter_logits, as generate does: it raises the ValueError."):
            solution.generate_cached(model, prompt(), 2, LIMIT, **options)
        assert_true(model.training, f"the model is left in eval mode when {name}={value} is refused", because="Put the loop into `try:` and model.train(was_training) under `finally:`, which runs in any case.")


def inside(model):
    """What a model consists of, by name: each part's identity, class and attributes, each parameter's identity."""
    parts = {f"{name or 'the model'}, its class or identity": (id(part), type(part)) for name, part in model.named_modules()}
    held = {f"{name or 'the model'}.{attribute}": None for name, part in model.named_modules() for attribute in vars(part)}
    hooks = {f"{name or 'the model'}, its hooks": len(part._forward_hooks) + len(part._forward_pre_hooks) for name, part in model.named_modules()}
    return parts | held | hooks | {name: id(p) for name, p in model.named_parameters(remove_duplicate=False)}


def test_the_model_is_left_as_it_was(solution):
    model, ids = gpt2(n_layer=2), prompt()
    before, values = inside(model), [p.clone() for p in model.parameters()]
    greedy(solution, model, ids, 3, 5)
    after = inside(model)
    changed = [name for name in before.keys() | after.keys() if name not in before or name not in after or before[name] != after[name]]
    assert_equal(sorted(changed), [], "the list of what generate_cached has changed in the model", because="The model belongs to the caller: attention layers are not exchanged, and no cache is kept in them. Let your own attention use their c_attn and c_proj.")
    for old, p in zip(values, model.parameters(), strict=True):
        assert_identical(p.detach(), old.detach(), "a parameter of the model, after generate_cached,", because="Generation reads the parameters and changes none.")
    needs = all(p.requires_grad for p in model.parameters())
    assert_true(needs, "a parameter of the model no longer requires a gradient", because="Use torch.no_grad() instead of freezing the model.")


def test_no_graph_is_built(solution):
    model = gpt2()
    with Passes(model) as passes:
        greedy(solution, model, prompt(), 3)
    assert_true(not passes.graph, "generate_cached builds a gradient graph", because="Cached keys and values would hold on to the graph of every step: torch.no_grad() around the loop, or as a decorator.")
    assert_true(torch.is_grad_enabled(), "generate_cached leaves gradients switched off", because="Use torch.no_grad() as a decorator or `with` block, so that it ends.")


def test_the_prompt_is_left_as_it_was(solution):
    ids = prompt()
    before = ids.clone()
    greedy(solution, gpt2(), ids, 3, 5)
    assert_identical(ids, before, "after generate_cached, the caller's batch", because="You write into the prompt: make new tensors with torch.cat instead.")


def test_generation_works_in_double_precision(solution):
    model, ids = gpt2().double(), prompt()
    assert_equal(greedy(solution, model, ids, 3).tolist(), plain(model, ids, 3), "what a model in float64 writes", because="A tensor of a fixed type, or a cast, changes it.")


class Owned(TorchFunctionMode):
    """Notes which operation on the model's own parameters was refused; a copy of the model is no business of `elsewhere`."""

    def __init__(self, model):
        super().__init__()
        self.own, self.trouble = {id(p) for p in model.parameters()}, ""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        try:
            return func(*args, **(kwargs or {}))
        except DevicesDiffer as error:
            if any(id(a) in self.own for a in args):
                self.trouble = str(error)
            raise


def test_generation_works_on_another_device(solution):
    model, trouble = gpt2(), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            with Owned(model) as owned:
                out = solution.generate_cached(model, send(prompt()), 3, 5, top_k=3, eos_id=2)
            trouble = "" if is_elsewhere(out) else "the result is on the CPU"
        except DevicesDiffer:
            trouble = owned.trouble
    observe("generate_cached on another device", bool(trouble))
    if trouble:
        fail("generate_cached does not work on another device:", expected="everything where model and batch are", got=trouble, because="A tensor is made on the CPU: torch.arange for the positions needs device=batch.device.")
