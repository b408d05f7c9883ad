"""Interview 07, third part: what Decoder and generate promise.

The oracle is a plain loop over the module's own parameters, without any cache. Models are in float64, where no two
logits are so close that rounding decides between them. Shapes: B batch, T tokens, C n_embd, V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_gradients,
    assert_identical,
    assert_parameters,
    assert_raises,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_tensor,
    assert_tokens,
    assert_true,
    draw_ids,
    fail,
    fill,
    name_sizes,
    observe,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere, is_elsewhere
from common.testing.generation import Passes
from common.testing.modules import OVERWRITTEN

B, T, C, H, V, N = 4, 6, 15, 3, 29, 11


def decoder(solution, n_layer=2):
    name_sizes(C=C, H=H, D=C // H, V=V, n_positions=N)
    model = fill(solution.Decoder(V, N, C, H, n_layer)).double()
    with torch.no_grad():
        model.wpe.weight.mul_(2)
        model.lm_head.weight.mul_(2)
    return model


def prompt(length=T, size=B, name="prompt"):
    return draw_ids(name, B=size, T=length, vocab_size=V)


def right(model, ids):
    """The logits for whole texts, from the parameters alone."""
    x = F.embedding(ids, model.wte.weight) + model.wpe.weight[: ids.size(1)]
    for layer in model.h:
        parts = F.linear(x, layer.c_attn.weight, layer.c_attn.bias).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (H, C // H)).transpose(1, 2) for part in parts)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + F.linear(heads, layer.c_proj.weight, layer.c_proj.bias)
    return F.linear(x, model.lm_head.weight)


def at_once(model, ids):
    with torch.no_grad():
        return right(model, ids)


def right_text(model, ids, n_tokens):
    text = ids
    for _ in range(n_tokens):
        text = torch.cat([text, at_once(model, text)[:, -1:].argmax(-1)], dim=1)
    return text[:, ids.size(1) :]


def in_pieces(solution, model, ids, lengths):
    """The logits for ids handed over in pieces of these lengths, joined."""
    cache, outs, start = solution.KVCache(len(model.h)), [], 0
    with torch.no_grad():
        for length in lengths:
            outs.append(assert_tensor(model(ids[:, start : start + length], cache), "the logits"))
            start += length
    return torch.cat(outs, dim=1)


# --- Decoder -------------------------------------------------------------------------------------


def test_the_parameters_are_those_that_were_given(solution):
    layer = {"c_attn.weight": (3 * C, C), "c_attn.bias": (3 * C,), "c_proj.weight": (C, C), "c_proj.bias": (C,)}
    ends = {"wte.weight": (V, C), "wpe.weight": (N, C), "lm_head.weight": (V, C)}
    layers = {f"h.{i}.{name}": shape for i in range(2) for name, shape in layer.items()}
    assert_parameters(
        solution.Decoder(V, N, C, H, 2), ends | layers, "Decoder",
        because="The names and the shapes of parameters stay as they were given.",
    )


@pytest.mark.parametrize("length", [1, T, N])
def test_there_are_logits_for_every_token(solution, length):
    model, ids = decoder(solution), prompt(length)
    because = "After each new token come the logits of the next one, and after no other token."
    assert_shape(model(ids), (B, length, V), "the logits without a cache", because=because)
    assert_shape(model(ids, solution.KVCache(2)), (B, length, V), "the logits with an empty cache", because=because)


def test_the_decoder_remembers_nothing(solution):
    assert_repeatable(decoder(solution), prompt(), what="the logits without a cache")


@pytest.mark.parametrize(("length", "n_layer"), [(T, 1), (N, 2)])
def test_without_a_cache_it_reads_the_whole_text(solution, length, n_layer):
    model, ids = decoder(solution, n_layer), prompt(length)
    assert_close(
        assert_tensor(model(ids), "the logits"), at_once(model, ids), f"the logits of {n_layer} layers for {length} "
        "tokens",
        because="wte of the tokens plus wpe of positions 0, 1, ...; x = x + layer(x) for each layer in turn; lm_head.",
    )


def test_every_parameter_gets_a_gradient(solution):
    model = decoder(solution)
    model(prompt(N)).pow(2).mean().backward()
    assert_gradients(model, "the mean of the squared logits", again=lambda: model(prompt(N)))


def test_each_layer_goes_into_the_cache_once(solution):
    model, cache, lengths = decoder(solution), solution.KVCache(2), []
    with torch.no_grad():
        for piece in (6, 1, 2):
            model(prompt(piece), cache)
            lengths.append(len(cache))
    assert_equal(
        lengths, [6, 7, 9], "len(cache) after forward with 6, 1 and 2 tokens on an empty cache",
        because="Each layer appends the new tokens to its own place in the cache, once; a cache that is still empty is "
        "a cache, too.",
    )


@pytest.mark.parametrize("lengths", [[5, 1], [1, 1, 1], [3, 4]], ids=str)
def test_positions_go_on_from_the_past(solution, lengths):
    model, ids = decoder(solution, n_layer=1), prompt(sum(lengths))
    assert_close(
        in_pieces(solution, model, ids, lengths), at_once(model, ids),
        f"the logits of one layer for pieces of {lengths} tokens, against all at once,",
        because="With P tokens in the cache, the new ones have the positions P, P + 1, ...",
    )


@pytest.mark.parametrize(("lengths", "n_layer"), [([5, 1], 2), ([1, 2, 1], 3), ([4, 7], 2)], ids=str)
def test_each_layer_goes_on_from_its_own_past(solution, lengths, n_layer):
    model, ids = decoder(solution, n_layer), prompt(sum(lengths))
    assert_close(
        in_pieces(solution, model, ids, lengths), at_once(model, ids),
        f"the logits of {n_layer} layers for pieces of {lengths} tokens, against all at once,",
        because="Each layer makes keys and values of what the layer before it gives, and has its own place in the "
        "cache. All tokens of a pass have positions that were counted before its first layer.",
    )


def test_after_a_crop_the_text_goes_on_from_there(solution):
    model, cache, ids, other = decoder(solution), solution.KVCache(2), prompt(7), prompt(7, name="other")
    mixed = torch.cat([ids[:, :3], other[:, 3:]], dim=1)
    with torch.no_grad():
        model(ids, cache)
        cache.crop(3)
        out = assert_tensor(model(mixed[:, 3:], cache), "the logits")
    assert_close(
        out, at_once(model, mixed)[:, 3:], "the logits for 4 tokens after a crop from 7 to 3",
        because="The text is 3 tokens long after the crop: positions, keys and values go on from there.",
    )


@pytest.mark.parametrize(("past", "new"), [(0, N + 1), (N, 1), (7, 5), (7, 6)])
def test_a_text_that_is_too_long_is_refused(solution, past, new):
    model, cache = decoder(solution), solution.KVCache(2)
    with torch.no_grad():
        if past:
            model(prompt(past), cache)
        with assert_raises(
            ValueError, f"{new} new tokens after {past}, with n_positions={N},", naming=[past + new],
            because="There is a row of wpe for each of n_positions positions and no more; the past counts.",
        ):
            model(prompt(new), cache)
    assert_equal(
        len(cache), past, f"len(cache) after {new} tokens behind {past} were refused",
        because="What is refused leaves the cache as it was, so the check comes before the first layer.",
    )


def test_without_a_cache_a_text_that_is_too_long_is_refused(solution):
    model = decoder(solution)
    with assert_raises(
        ValueError, f"a text of {N + 1} tokens without a cache, with n_positions={N},", naming=[N + 1],
        because="There is a row of wpe for each of n_positions positions and no more.",
    ):
        model(prompt(N + 1))


def test_the_last_position_can_be_used(solution):
    model, ids = decoder(solution), prompt(N)
    assert_close(
        in_pieces(solution, model, ids, [N - 1, 1]), at_once(model, ids), f"the logits for {N} tokens, the last alone,",
        because="A text may be n_positions tokens long, the past included.",
    )


def test_the_rows_of_a_batch_do_not_mix(solution):
    model = decoder(solution)
    assert_rows_independent(
        lambda ids: in_pieces(solution, model, ids, [4, 2]), prompt(), what="the logits", other=prompt(name="other")
    )


# --- generate ------------------------------------------------------------------------------------


def written(solution, model, ids, n_tokens):
    return assert_tensor(solution.generate(model, ids, n_tokens), "the result of generate")


@pytest.mark.parametrize(("size", "n"), [(B, 5), (1, 1), (2, 0)])
def test_generate_returns_the_new_tokens_only(solution, size, n):
    out = written(solution, decoder(solution), prompt(size=size), n)
    assert_shape(
        out, (size, n), f"generate(model, ids, {n}) for ids of shape {(size, T)}",
        because="There is a column for each new token, and none for the prompt.",
    )
    assert_equal(str(out.dtype), "torch.int64", "the dtype of the result", because="Token ids are int64.")


@pytest.mark.parametrize(("length", "n", "n_layer"), [(T, 1, 1), (T, 4, 1), (1, 5, 2), (T, 6, 2)])
def test_it_writes_what_the_model_says_without_a_cache(solution, length, n, n_layer):
    model, ids = decoder(solution, n_layer), prompt(length)
    assert_tokens(
        written(solution, model, ids, n), right_text(model, ids, n),
        f"what {n_layer} layers write after {length} tokens",
        because="Each token is the one with the highest logit after all tokens before it: the prompt is read first, "
        "then each new token in its turn.",
    )


@pytest.mark.parametrize(("length", "n"), [(T, 4), (1, 3), (N, 1)])
def test_no_token_is_read_twice(solution, length, n):
    model, ids = decoder(solution), prompt(length)
    with Passes(model, C, 1000) as passes:
        written(solution, model, ids, n)
    read, limit = passes.per_layer() / B, length + n
    observe("tokens read by each layer", min(read, limit) if read >= limit - 1 else read)
    if read > limit:
        fail(
            "tokens go through the model again:", expected=f"at most {limit} tokens through each layer, each once",
            got=f"{read:g} tokens",
            because=f"The cache holds what has been read. Without one, {n} new tokens after {length} cost "
            f"{sum(range(length, length + n))}, the whole text each time.",
        )


@pytest.mark.parametrize(("length", "n"), [(N, 1), (T, N - T + 1)])
def test_the_last_token_needs_no_position(solution, length, n):
    model, ids = decoder(solution), prompt(length)
    assert_tokens(
        written(solution, model, ids, n), right_text(model, ids, n),
        f"what is written after {length} tokens with n_tokens={n} and n_positions={N}",
        because="Nothing is asked of the last new token, so it is not read.",
    )


def test_a_text_that_outgrows_the_positions_is_refused(solution):
    with assert_raises(
        ValueError, f"generate of {N - T + 2} tokens after {T}, with n_positions={N},",
        because="The last token but one would need a position that wpe does not have.",
    ):
        solution.generate(decoder(solution), prompt(), N - T + 2)


def test_two_calls_share_nothing(solution):
    model = decoder(solution)
    expected = right_text(model, prompt(), 3)
    written(solution, model, prompt(3, size=2, name="other"), 2)
    assert_tokens(
        written(solution, model, prompt(), 3), expected, "the text after a prompt, after a call with another one,",
        because="Each call begins with an empty cache of its own.",
    )


def test_generate_leaves_model_and_prompt_alone(solution):
    model, ids = decoder(solution).train(), prompt()
    before, old = {name: p.detach().clone() for name, p in model.named_parameters()}, ids.clone()
    written(solution, model, ids, 3)
    assert_identical(ids, old, "after generate, the caller's ids", because=OVERWRITTEN)
    for name, p in model.named_parameters():
        assert_identical(p, before[name], f"after generate, `{name}`", because="Generation changes nothing in a model.")
    assert_equal(
        (model.training, all(p.requires_grad for p in model.parameters())), (True, True),
        "(training, requires_grad) of a model in training, after generate",
        because="The model may go on learning afterwards.",
    )


def test_no_graph_is_built(solution):
    model = decoder(solution)
    with Passes(model, C, 1000) as passes:
        written(solution, model, prompt(), 2)
    assert_true(
        not passes.graph, "generate builds a gradient graph",
        because="Cached keys and values would hold on to the graph of every step, so it works under torch.no_grad().",
    )
    assert_true(
        torch.is_grad_enabled(), "generate leaves gradients switched off",
        because="torch.no_grad() as a decorator or a `with` block ends with the call.",
    )


# --- types and devices ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_logits_come_in_the_type_of_the_parameters(solution, dtype):
    out = in_pieces(solution, decoder(solution).to(dtype), prompt(), [5, 1])
    assert_equal(
        str(out.dtype), str(dtype), f"the dtype of the logits of a model in {dtype}",
        because="Nothing on the way is cast, or made in a type of its own.",
    )


def test_generation_works_on_another_device(solution):
    model, trouble = decoder(solution), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            trouble = "" if is_elsewhere(solution.generate(model, send(prompt()), 3)) else "the result is on the CPU"
        except DevicesDiffer as error:
            trouble = str(error)
    observe("generate on another device", bool(trouble))
    if trouble:
        fail(
            "generate does not work on another device:", expected="all where model and ids are", got=trouble,
            because="A tensor that is made on the way is made where the ids are: device=ids.device.",
        )
