"""A training run, third part: the block, the whole model, and where its weights start.

What a part is given and gives is read off by hooks. Shapes: B batch, T tokens, C n_embd, V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_dropped,
    assert_equal,
    assert_shape,
    assert_true,
    draw,
    draw_ids,
    fail,
    fill,
    observe,
)

B, T, C, V, N, RATE = 2, 7, 15, 29, 11, 0.4
AXES = {"B": B, "T": T, "C": C, "V": V}


def settings(solution, **changes):
    sizes = {"context": N, "n_embd": C, "n_head": 3, "n_layer": 3, "dropout": RATE}
    return solution.Settings(**{**sizes, **changes})


class Listener:
    """What a part was given and gave when it was last called; None before."""

    def __init__(self, part):
        self.given = self.gave = None
        part.register_forward_hook(self.listen)

    def listen(self, _, args, output):
        self.given, self.gave = args[0].detach().clone(), output.detach().clone()


# --- the block ------------------------------------------------------------------------------------


def through_block(solution):
    """A block in eval mode, its input and output, and what listened to its attention and its MLP."""
    block = fill(solution.Block(settings(solution))).eval()
    attn, mlp = Listener(block.attn), Listener(block.mlp)
    x = 2 + 3 * draw("x", B=B, T=T, C=C)
    with torch.no_grad():
        out = block(x)
    for name, part in (("attn", attn), ("mlp", mlp)):
        observe(f"{name} is called", part.gave is not None)
        if part.gave is None:
            fail(f"{name} is never called", because="A block is attention and MLP, each added to the stream.")
    return block, x, out, attn, mlp


def normed(x, norm):
    return F.layer_norm(x, (C,), norm.weight, norm.bias, getattr(norm, "eps", 1e-5)).detach()


def test_attention_reads_the_normalised_stream(solution):
    """Hook attn and compare what it is given with ln_1(x)."""
    block, x, _, attn, _ = through_block(solution)
    assert_close(
        attn.given, normed(x, block.ln_1), "what attn is given",
        because="The block is pre-norm: attention reads ln_1 of the stream as it comes in.", atol=1e-4,
    )


def test_the_mlp_reads_the_normalised_stream_after_attention(solution):
    """Hook mlp and compare what it is given with ln_2(x + what attn gave)."""
    block, x, _, attn, mlp = through_block(solution)
    assert_close(
        mlp.given, normed(x + attn.gave, block.ln_2), "what mlp is given",
        because="The MLP reads ln_2 of the stream, to which attention has been added by then.", atol=1e-4,
    )


def test_the_block_adds_both_to_the_stream(solution):
    """Subtract a block's input from its output: what is left is what attn and mlp gave."""
    _, x, out, attn, mlp = through_block(solution)
    assert_close(
        out - x, attn.gave + mlp.gave, "a block's output less its input",
        because="The stream is handed on as it is, not normalised, and what attention and MLP give is added to it.",
        atol=1e-4,
    )


@pytest.mark.parametrize("part", ["attn", "mlp"])
def test_what_is_added_is_dropped_and_the_stream_is_not(solution, part):
    """Let one part give 1 everywhere and the other 0: in train mode the stream moves by 0, or by 1 scaled up."""
    block = fill(solution.Block(settings(solution)))
    x = torch.full((40, T, C), 5.0)
    with torch.no_grad():
        for name in ("attn", "mlp"):
            getattr(block, name).c_proj.weight.zero_()
            getattr(block, name).c_proj.bias.fill_(float(part == name))
        added = block.train()(x) - x
    assert_dropped(
        added, 1.0, RATE, f"what {part} adds to the stream",
        because="Dropout acts on what attention and MLP give, each before it is added. The stream itself is never "
        "dropped.",
    )


# --- the model ------------------------------------------------------------------------------------


def gpt(solution, **changes):
    """A model of three blocks in eval mode, and what listens to them."""
    model = fill(solution.GPT(settings(solution, **changes), V)).eval()
    return model, [Listener(block) for block in model.blocks]


def ids(length=T):
    return draw_ids("ids", B=B, T=length, vocab_size=V)


@pytest.mark.parametrize("length", [1, T, N])
def test_there_are_logits_for_every_token(solution, length):
    """Print the shape of the logits, for texts of 1 to context tokens."""
    assert_shape(
        gpt(solution)[0](ids(length)), (B, length, V), "model(ids)",
        because="Each position has a logit for every token of the vocabulary, however long the text is.",
    )


@pytest.mark.parametrize("length", [N, T, 1])
def test_the_first_block_reads_the_sum_of_both_embeddings(solution, length):
    """Hook the first block: it is given wte(ids) + wpe(0, 1, 2, ...), also for a text shorter than context."""
    (model, blocks), text = gpt(solution), ids(length)
    with torch.no_grad():
        model(text)
        right = model.wte.weight[text] + model.wpe.weight[:length]
    assert_close(
        blocks[0].given, right, f"what the first block is given for {length} tokens, context={N},",
        because="It is the token's embedding plus that of its position, and positions are counted from 0 in every "
        "text.",
    )


def test_the_sum_of_the_embeddings_is_dropped(solution):
    """Set all of wte to 3 and all of wpe to -2: in train mode the first block is given 0, or 1 scaled up."""
    model, blocks = gpt(solution)
    with torch.no_grad():
        model.wte.weight.fill_(3.0)
        model.wpe.weight.fill_(-2.0)
        model.train()(ids().repeat(40, 1))
    assert_dropped(
        blocks[0].given, 1.0, RATE, "what the first block is given",
        because="Dropout acts on the sum of both embeddings, once.",
    )


def test_the_stream_goes_through_all_blocks_in_order(solution):
    """Hook the blocks: each is given what the one before it gave."""
    model, blocks = gpt(solution)
    with torch.no_grad():
        model(ids())
    for i in range(2):
        observe(f"block {i + 1} is used", blocks[i + 1].given is not None)
        if blocks[i + 1].given is None:
            fail(f"blocks[{i + 1}] is never called", because="The stream goes through every block.")
        assert_close(
            blocks[i + 1].given, blocks[i].gave, f"what blocks[{i + 1}] is given",
            because="Each block reads what the one before it gave, the first one the embeddings.", atol=1e-4,
        )


def test_the_logits_are_the_normed_stream_times_the_token_embedding(solution):
    """Hook the last block and compute ln_f and the head by hand."""
    model, blocks = gpt(solution)
    with torch.no_grad():
        logits = model(ids())
        right = normed(blocks[2].gave, model.ln_f) @ model.wte.weight.T
    assert_close(
        logits, right, "model(ids)",
        because="What the last block gives goes through ln_f, and is multiplied with the token embedding: raw scores, "
        "no softmax.", atol=1e-4,
    )


def test_the_head_is_the_token_embeddings_own_matrix(solution):
    """Ask whether model.lm_head.weight is model.wte.weight, and count the parameters."""
    model = solution.GPT(settings(solution, n_embd=9), 23)
    head, wte = model.lm_head.weight, model.wte.weight
    observe("the head's numbers are those of wte", torch.equal(head, wte))
    observe("the head's memory is that of wte", head.data_ptr() == wte.data_ptr())
    assert_true(
        head is wte, "lm_head.weight is not wte.weight",
        because="Both are one Parameter: one gradient, one update. A copy goes its own way, and one that only shares "
        "its memory is updated twice.",
    )


def test_each_block_has_parameters_of_its_own(solution):
    """Count the parameters of models with one block and with three."""
    blocks = solution.GPT(settings(solution), V).blocks
    found = len({id(p) for p in blocks.parameters()})
    each = len([*blocks[0].parameters()])
    assert_equal(
        found, 3 * each, f"the number of parameters in 3 blocks of {each}",
        because="The blocks are different layers: each one has weights of its own.",
    )


# --- where the weights start ----------------------------------------------------------------------


def fresh(solution):
    """A model of which every matrix holds hundreds of numbers; 3 layers."""
    return solution.GPT(solution.Settings(context=32, n_embd=48, n_head=4, n_layer=3), 56)


def spread(model, ending):
    """The standard deviation of all weights of this name together."""
    named = model.named_parameters(remove_duplicate=False)  # wte.weight may be known as lm_head.weight first
    return torch.cat([p.detach().flatten() for n, p in named if n.endswith(ending)]).std()


def assert_spread(model, ending, right, because):
    found = spread(model, ending)
    observe(f"the spread of {ending}", found)
    if not 0.93 * right < float(found) < 1.07 * right:  # of 1500 numbers and more: five standard deviations
        fail(
            f"the standard deviation of {ending} is wrong in a new model of 3 layers:",
            expected=f"about {right:.4f}", got=f"{float(found):.4f}", because=because,
        )


@pytest.mark.parametrize("ending", ["wte.weight", "wpe.weight"])
def test_embeddings_start_small(solution, ending):
    """Compare the loss at step 0 with ln V; then print wte.weight.std() and wpe.weight.std()."""
    assert_spread(
        fresh(solution), ending, 0.02,
        "Embeddings start as N(0, 0.02). The head is the token embedding, so its size is that of the first logits.",
    )


@pytest.mark.parametrize("ending", ["c_attn.weight", "c_fc.weight"])
def test_matrices_start_small(solution, ending):
    """Print the standard deviation of every matrix of a new model."""
    assert_spread(
        fresh(solution), ending, 0.02, "Matrices start as N(0, 0.02), but for those of every c_proj, which are smaller."
    )


@pytest.mark.parametrize("ending", ["attn.c_proj.weight", "mlp.c_proj.weight"])
def test_what_writes_to_the_stream_starts_smaller_with_depth(solution, ending):
    """Print the standard deviation of every c_proj beside 0.02 / sqrt(2 * n_layer)."""
    assert_spread(
        fresh(solution), ending, 0.02 / 6**0.5,
        "Each layer adds to the stream twice, by the c_proj of its attention and of its MLP: both start smaller by "
        "sqrt(2 * n_layer).",
    )


def test_biases_start_at_zero(solution):
    """Print the largest bias of a new model."""
    wrong = [n for n, p in fresh(solution).named_parameters() if n.endswith("bias") and bool(p.any())]
    because = "All biases start at 0, those of norms too."
    assert_equal(wrong, [], "the list of biases that do not start at 0", because=because)


def test_norms_start_at_one(solution):
    """Print the weights of the norms of a new model."""
    norms = [(n, p) for n, p in fresh(solution).named_parameters() if p.ndim == 1 and n.endswith("weight")]
    observe("the norms' weights", torch.stack([p for _, p in norms])[:, :4])
    wrong = [n for n, p in norms if not bool((p == 1).all())]
    assert_equal(
        wrong, [], "the list of norms whose weight does not start at 1",
        because="A norm's weight is what it multiplies with: it starts at 1, and nothing else draws it anew.",
    )
