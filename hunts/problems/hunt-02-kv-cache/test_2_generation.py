"""A key-value cache for the file of hunt 01, second part: what generate_cached promises.

The oracle is the reference's generate, which knows no cache, with the same parameters. Models are in float64, where no
two logits are so close that rounding decides between them.
Shapes: B batch, T tokens, V vocab_size, C n_embd.
"""

import pytest
import torch
from torch import nn

from common.testing import (
    assert_equal,
    assert_shape,
    assert_tensor,
    assert_tokens,
    assert_true,
    draw,
    draw_ids,
    fill,
)

AXES = {"V": 29, "context": 11, "C": 15, "H": 3, "D": 5}
B, T, V, LIMIT = 4, 7, AXES["V"], AXES["context"]
SIZES = {"context": LIMIT, "n_embd": AXES["C"], "n_head": AXES["H"], "n_layer": 2}


def text(name="ids", length=T):
    return draw_ids(name, B=B, T=length)


def seeded(number=5):
    return torch.Generator(device=draw("d", 1).device).manual_seed(number)


def writer(module, dropout=0.1):
    """A model whose texts depend on every token and its position, in eval mode."""
    model = fill(module.GPT(module.Settings(**SIZES, dropout=dropout), V))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith("attn.c_proj.weight"):
                p.mul_(6.0)
        model.wte.weight.copy_(2 * nn.functional.normalize(model.wte.weight, dim=-1))
    return model.double()


def written(solution, ids, count, model=None, **options):
    """What generate_cached returns, and the shapes of what the model read; greedy, if no options say how to draw."""
    model, shapes, graphs = model or writer(solution), [], []

    def note(_, args, kwargs, out):
        shapes.append(tuple((args[0] if args else kwargs["ids"]).shape))
        graphs.append(out.requires_grad)

    handle = model.register_forward_hook(note, with_kwargs=True)
    out = solution.generate_cached(model, ids, count, **(options or {"temperature": 0}))
    handle.remove()
    return assert_tensor(out, "the result of generate_cached"), shapes, graphs


def right_text(reference, ids, count, **options):
    return reference.generate(writer(reference), ids, count, **(options or {"temperature": 0}))


def test_generate_writes_what_it_wrote(solution, reference):
    """Keep a few samples of generate from before, and compare."""
    for options in ({"temperature": 0}, {"temperature": 0.7, "top_k": 4}):
        out = solution.generate(writer(solution), text(), 6, **options, generator=seeded())
        right = right_text(reference, text(), 6, **options, generator=seeded())
        assert_tokens(
            out, right, f"what generate writes with {options}",
            because="generate goes on without a cache and keeps its promises, whatever the two loops share.",
        )


@pytest.mark.parametrize(("length", "count"), [(6, 3), (1, 2), (2, 0)])
def test_the_result_is_prompt_and_new_tokens(solution, length, count):
    """Look at the shape of what comes back, and at its beginning."""
    ids = text(length=length)
    out, _, _ = written(solution, ids, count)
    assert_shape(
        out, (B, length + count), f"the result of generate_cached for {length} tokens and count={count}",
        because="As in generate the whole text comes back, (B, T + count).",
    )
    assert_tokens(
        out[:, :length], ids, "the beginning of what generate_cached returns", because="It is the prompt, as it was."
    )


@pytest.mark.parametrize("length", [1, T])
def test_a_text_that_fits_is_that_of_generate(solution, reference, length):
    """Let both write the most likely tokens after one prompt."""
    ids = text(length=length)
    assert_tokens(
        written(solution, ids, 4)[0], right_text(reference, ids, 4), f"the text after {length} tokens",
        because="The logits of the last position are those that generate sees, so the tokens are the same.",
    )


@pytest.mark.parametrize(("length", "count"), [(6, 3), (1, 4), (LIMIT - 2, 3)])
def test_while_the_text_fits_no_token_is_read_twice(solution, length, count):
    """Print the shape of ids in GPT.forward."""
    _, shapes, _ = written(solution, text(length=length), count)
    assert_equal(
        shapes, [(B, length)] + [(B, 1)] * (count - 1),
        f"the list of shapes that the model is called with, for {length} tokens and count={count},",
        because=f"One call for each new token: the whole prompt first, then the newest token alone, as long as there "
        f"are no more than {LIMIT} tokens to be read. The last new token is returned and never read.",
    )


@pytest.mark.parametrize(("length", "count"), [(8, 7), (LIMIT, 3), (LIMIT + 2, 2)])
def test_the_text_goes_on_when_the_window_slides(solution, reference, length, count):
    """Let both write more tokens than the context holds."""
    ids = text(length=length)
    assert_tokens(
        written(solution, ids, count)[0], right_text(reference, ids, count),
        f"the text after {length} tokens, with count={count} and a context of {LIMIT}",
        because=f"The model sees the last {LIMIT} tokens, positions counted from the first of them. When the oldest "
        "leaves, all others are at other positions, and their keys and values are others, too.",
    )


@pytest.mark.parametrize("options", [{}, {"temperature": 0.6}, {"temperature": 1.5, "top_k": 4}], ids=str)
def test_the_same_seed_draws_the_same_text(solution, reference, options):
    """Let both draw, from two generators of one seed."""
    assert_tokens(
        written(solution, text(), 5, **options, generator=seeded())[0],
        right_text(reference, text(), 5, **options, generator=seeded()),
        f"what is drawn with a generator of seed 5 and {options or 'no options'}",
        because="As in generate each step draws once for the whole batch, with the generator, from the softmax of the "
        "logits that temperature and top_k leave.",
    )


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_it_writes_in_eval_mode_and_leaves_the_mode(solution, reference, training):
    """Let a model in train mode write, and ask for model.training afterwards."""
    model = writer(solution, dropout=0.5).train(training)
    mode = "train" if training else "eval"
    assert_tokens(
        written(solution, text(), 3, model)[0], right_text(reference, text(), 3), f"the text of a model in {mode} mode",
        because="Dropout is off while it writes: model.eval() comes first.",
    )
    modes = {m.training for m in model.modules()}
    assert_equal(
        sorted(modes), [training], f"the list of modes (training) that the parts of a model in {mode} mode are left in",
        because="The mode is left as it was: remember model.training, and put it back with model.train(...).",
    )


def test_no_graph_is_built(solution):
    """In generate_cached, print logits.requires_grad."""
    _, _, graphs = written(solution, text(), 3)
    assert_true(
        not any(graphs), "generate_cached builds a gradient graph",
        because="The keys and values in the cache would hold on to the graph of every step: use torch.no_grad().",
    )
    assert_true(
        torch.is_grad_enabled(), "generate_cached leaves gradients switched off",
        because="torch.no_grad() as a decorator or a `with` block ends with the call.",
    )


def test_two_calls_share_nothing(solution, reference):
    """Let the model write after two prompts, one after the other."""
    model, ids = writer(solution), text()
    written(solution, text("other"), 2, model)
    assert_tokens(
        written(solution, ids, 3, model)[0], right_text(reference, ids, 3), "the text of a second call",
        because="Each call makes a cache of its own: a default argument, a global or the model would keep it.",
    )
