"""A key-value cache for the file of hunt 01, first part: what Cache and GPT.forward promise.

The oracle is the reference without a cache, with the same parameters.
Shapes: B batch, T new tokens, V vocab_size, C n_embd, H n_head, D = C // H.
"""

import pytest
import torch
from torch import nn

from common.testing import (
    assert_close,
    assert_drops_anew,
    assert_equal,
    assert_parameters,
    assert_raises,
    assert_repeatable,
    assert_shape,
    assert_tensor,
    draw_ids,
    fail,
    fill,
    observe,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere

AXES = {"V": 29, "context": 11, "C": 15, "H": 3, "D": 5}
B, T, V, LIMIT = 4, 7, AXES["V"], AXES["context"]


def settings(module, n_layer=2, dropout=0.1):
    return module.Settings(context=LIMIT, n_embd=AXES["C"], n_head=AXES["H"], n_layer=n_layer, dropout=dropout)


def gpt(module, n_layer=2, dropout=0.1, positions=True):
    """A model whose parameters follow from their names, in eval mode; without positions it has none to add."""
    model = fill(module.GPT(settings(module, n_layer, dropout), V))
    with torch.no_grad():
        model.wpe.weight.mul_(1.0 if positions else 0.0)
    return model


def text(name="ids", length=T):
    return draw_ids(name, B=B, T=length)


def at_once(reference, ids, **changes):
    """The logits of a whole text, without any cache."""
    with torch.no_grad():
        return gpt(reference, **changes)(ids)


def in_pieces(solution, ids, lengths, model=None, n_layer=2, positions=True):
    """The logits of a text that is read in pieces of these lengths, joined."""
    model, cache = model or gpt(solution, n_layer, positions=positions), solution.Cache(settings(solution, n_layer))
    outs, start = [], 0
    with torch.no_grad():
        for length in lengths:
            out = model(ids[:, start : start + length], cache)
            assert_shape(
                out, (len(ids), length, V), f"the result for {length} new tokens after {start} in the cache",
                because="Logits come for each of the new tokens, and for no other.",
            )
            outs.append(out)
            start += length
    return torch.cat(outs, dim=1)


# --- without a cache all is as before ------------------------------------------------------------


def test_the_model_keeps_its_parameters(solution, reference):
    """Print the state_dict's names and shapes, before the cache was written and after."""
    shapes = {name: tuple(p.shape) for name, p in gpt(reference).named_parameters(remove_duplicate=False)}
    model = solution.GPT(settings(solution), V)
    assert_parameters(model, shapes, "GPT", because="The cache adds nothing that is learned, and takes nothing away.")
    assert_equal(
        sorted(model.state_dict()), sorted(shapes), "the list of state_dict keys",
        because="Neither a mask nor a cache is learned: a checkpoint of the old file has to load into the new one.",
    )


def test_without_a_cache_nothing_is_remembered(solution):
    """Ask a model in eval mode twice for the logits of one text."""
    assert_repeatable(gpt(solution), text(), what="the logits without a cache")


@pytest.mark.parametrize("length", [1, T, LIMIT])
def test_without_a_cache_the_logits_are_what_they_were(solution, reference, length):
    """Keep the logits of a few texts from before, and compare."""
    ids = text(length=length)
    with torch.no_grad():
        out = gpt(solution)(ids)
    assert_close(
        out, at_once(reference, ids), f"the logits of {length} tokens without a cache",
        because="Without a cache the T queries stand at positions 0 to T - 1, and the mask is the square triangle.",
    )


def test_without_a_cache_the_gradients_are_what_they_were(solution, reference):
    """Keep the gradients of a step from before, and compare."""
    ids, found = text(), []
    for module in (reference, solution):
        model = gpt(module)
        model(ids).square().mean().backward()
        found.append(dict(model.named_parameters()))
    right, mine = found
    for name in right:
        assert_close(
            assert_tensor(mine[name].grad, f"the gradient of `{name}`"), right[name].grad, f"the gradient of `{name}`",
            because="train goes on without a cache, so the way back leads through keys and values, too. Where the "
            "logits are right, detach(), .data or torch.no_grad() cuts it.",
        )


def test_without_a_cache_attention_weights_are_dropped(solution):
    """In train mode, with all other dropout at 0, ask twice for the logits of one text."""
    model = gpt(solution, dropout=0.5)
    own = {id(d) for m in model.modules() if isinstance(m, solution.Attention) for d in m.modules()}
    for module in model.modules():
        if isinstance(module, nn.Dropout) and id(module) not in own:
            module.p = 0.0
    assert_drops_anew(model.train(), text(), what="what GPT gives where only attention has dropout")


# --- with a cache --------------------------------------------------------------------------------


def test_a_new_cache_is_empty(solution):
    """Make one, and ask for its length."""
    assert_equal(
        len(solution.Cache(settings(solution))), 0, "len(Cache(settings))", because="No token has been read yet."
    )


def test_the_cache_counts_its_tokens(solution):
    """Read three pieces, and ask for the length after each."""
    model, cache, lengths = gpt(solution), solution.Cache(settings(solution)), []
    for piece in (6, 1, 2):
        model(text(length=piece), cache)
        lengths.append(len(cache))
    assert_equal(
        lengths, [6, 7, 9], "the list of len(cache) after 6, 1 and 2 tokens",
        because="It is the number of tokens of a row, however many rows, heads, layers and pieces there are. A cache "
        "that is still empty is filled like any other, though `if cache:` is False for it.",
    )


def test_a_text_read_at_once_into_an_empty_cache_changes_nothing(solution, reference):
    """Read a whole text with an empty cache and without one."""
    ids = text()
    assert_close(
        in_pieces(solution, ids, [T]), at_once(reference, ids), "the logits of a whole text, with an empty cache,",
        because="With nothing before them, the new tokens are a text like any other: the cache only takes notes.",
    )


def test_one_layer_without_positions_sees_the_past(solution, reference):
    """With a model of one layer and wpe set to 0, read six tokens and then one; compare the last logits."""
    ids, one = text(), {"n_layer": 1, "positions": False}
    assert_close(
        in_pieces(solution, ids, [6, 1], **one)[:, 6], at_once(reference, ids, **one)[:, 6],
        "the logits of one new token after 6 in the cache, from one layer without positions,",
        because="Its query meets the keys of all seven tokens, itself included, and its weights their values.",
    )


def test_positions_go_on(solution, reference):
    """The same with positions: read six tokens and then one."""
    ids = text()
    assert_close(
        in_pieces(solution, ids, [6, 1], n_layer=1)[:, 6], at_once(reference, ids, n_layer=1)[:, 6],
        "the logits of one new token after 6 in the cache, from one layer,",
        because="Positions count from the first token of the text: with 6 tokens in the cache, the next has number 6.",
    )


def test_each_layer_has_a_past_of_its_own(solution, reference):
    """The same with a model of three layers."""
    ids = text()
    assert_close(
        in_pieces(solution, ids, [6, 1], n_layer=3)[:, 6], at_once(reference, ids, n_layer=3)[:, 6],
        "the logits of one new token after 6 in the cache, from three layers,",
        because="Each layer makes keys and values from what the layer before it gives, and looks at no others.",
    )


@pytest.mark.parametrize("lengths", [[1] * T, [4, 3], [1, 2, 4], [3, LIMIT - 3]], ids=str)
def test_pieces_get_the_logits_of_the_whole(solution, reference, lengths):
    """Cut one text into pieces in several ways, and compare with the logits that it gets at once."""
    ids = text(length=sum(lengths))
    assert_close(
        in_pieces(solution, ids, lengths), at_once(reference, ids), f"the logits for pieces of {lengths} tokens",
        because="New token t, after n tokens in the cache, stands at position n + t and sees the tokens 0 to n + t: "
        "its row of the mask is row n + t of the square triangle.",
    )


def test_two_texts_read_by_turns_do_not_mix(solution, reference):
    """Read two texts token by token, by turns, each with its own cache."""
    model, texts = gpt(solution), [text("one"), text("other")]
    caches, outs = [solution.Cache(settings(solution)) for _ in texts], [[], []]
    with torch.no_grad():
        for t in range(T):
            for ids, cache, out in zip(texts, caches, outs, strict=True):
                out.append(model(ids[:, t : t + 1], cache))
    for ids, out in zip(texts, outs, strict=True):
        assert_close(
            torch.cat(out, dim=1), at_once(reference, ids), "the logits of one of two texts that are read by turns",
            because="Each has a cache of its own, and the past is there and nowhere else: not on the class, not in "
            "the model.",
        )


def test_a_text_without_a_cache_after_one_with_a_cache(solution, reference):
    """Read a text with a cache, and then another one without."""
    model, ids = gpt(solution), text()
    in_pieces(solution, text("other"), [5, 1], model)
    with torch.no_grad():
        assert_close(
            model(ids), at_once(reference, ids), "the logits without a cache, after calls with one,",
            because="Without a cache there is no past, whatever the model has read before.",
        )


@pytest.mark.parametrize(("held", "new"), [(0, LIMIT + 1), (9, 3), (LIMIT, 1)])
def test_more_tokens_than_fit_are_refused(solution, held, new):
    """Fill a cache, and hand over one token more than there is room for."""
    model, cache = gpt(solution), solution.Cache(settings(solution))
    if held:
        model(text(length=held), cache)
    with assert_raises(
        ValueError, f"model(ids, cache) for {new} new tokens after {held}, in a context of {LIMIT},",
        because="There is a position for each of `context` tokens and for no other.",
    ):
        model(text(length=new), cache)
    assert_equal(
        len(cache), held, f"len(cache) after {new} tokens were refused",
        because="Whoever is refused may go on with a shorter piece: look before any layer has added to the cache.",
    )


def test_after_a_refusal_the_text_goes_on(solution, reference):
    """Hand over too many tokens, and then as many as fit."""
    model, cache, ids = gpt(solution), solution.Cache(settings(solution)), text(length=LIMIT)
    with torch.no_grad():
        model(ids[:, :9], cache)
        with assert_raises(ValueError, f"model(ids, cache) for 3 tokens after 9, in a context of {LIMIT},"):
            model(ids[:, :3], cache)
        assert_close(
            model(ids[:, 9:], cache), at_once(reference, ids)[:, 9:], "the logits of a piece that fits, after a "
                "refusal,",
            because="What was refused has left nothing in any layer of the cache.",
        )


def test_a_cache_works_in_double_precision(solution, reference):
    """After model.double(), read a text in pieces."""
    ids = text()
    out = in_pieces(solution, ids, [4, 1, 2], gpt(solution).double())
    assert_equal(
        str(out.dtype), "torch.float64", "the dtype of the logits of a model in float64",
        because="Keys and values are kept in the type in which they come; room that was made ahead has another one.",
    )
    assert_close(
        out.float(), at_once(reference, ids), "the logits with a cache, in float64,",
        because="Only rounding may differ from float32.",
    )


def test_a_cache_works_on_another_device(solution):
    """On a machine with a GPU, move model and ids there and read two pieces."""
    model, trouble = gpt(solution), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            cache, ids = solution.Cache(settings(solution)), send(text())
            model(ids[:, :4], cache)
            model(ids[:, 4:], cache)
        except DevicesDiffer as error:
            trouble = str(error)
    observe("a cache on another device", bool(trouble))
    if trouble:
        fail(
            "model(ids, cache) does not work on another device:", expected="everything where ids is", got=trouble,
            because="Positions, mask and whatever the cache makes have to be made where ids is: device=ids.device.",
        )
