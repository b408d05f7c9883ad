"""Interview 01, part 2: what TransformerBlock and GPT2 promise, from cause to consequence.

The names of layers are the candidate's own, so no check looks for one. B batch, T tokens, C embed_dim, H num_heads,
V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_gradients,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
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
    unnamed,
)
from common.testing.calls import assert_nothing_is_kept
from common.testing.causality import assert_causal, assert_finite, assert_sees_the_past
from common.testing.dropout import assert_drops_in_train_mode_only
from common.testing.dtypes import assert_half_precision

B, T, C, H, V, BLOCK = 2, 7, 15, 3, 29, 11
AXES = {"B": B, "C": C, "H": H, "V": V, "block_size": BLOCK}


def block(solution, **more):
    return fill(solution.TransformerBlock(C, H, BLOCK, **more))


def gpt2(solution, layers=2, **more):
    return fill(solution.GPT2(V, C, H, layers, BLOCK, **more))


def vectors(length=T):
    return draw("x", B=B, T=length, C=C)


def text(length=T):
    return draw_ids("ids", B=B, T=length)


def matrices(module):
    """How many numbers all weight matrices hold; biases and norms, however they are kept, left out."""
    return sum(p.numel() for p in module.parameters() if p.ndim >= 2 and sorted(p.shape)[-2] > 4)


# --- TransformerBlock ----------------------------------------------------------------------------


def test_a_block_keeps_the_shape(solution):
    assert_shape(
        block(solution)(vectors()), (B, T, C), "the output of a block",
        because="A block adds to x, so what comes out has the shape of what went in.",
    )


def test_a_block_leaves_its_input_alone(solution):
    assert_input_untouched(block(solution), vectors(), what="TransformerBlock")


def test_a_block_has_its_own_attention_and_mlp(solution):
    assert_equal(
        matrices(block(solution)), 12 * C * C, "the number of weights of a block, biases and norms aside,",
        because="4 C * C for attention and 8 C * C for the MLP.",
    )


def test_a_block_that_adds_nothing_returns_x(solution):
    model, x = block(solution), vectors()
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        assert_close(
            model(x), x.clone(), "the output of a block whose parameters are all zero",
            because="Attention and MLP give zero then, and x + 0 + 0 is x: each result is added to x, and no norm "
            "stands on the path of x itself.",
        )


def test_what_a_block_adds_does_not_grow_with_x(solution):
    # In double precision, as a number of size 1 is looked for in sums of size 1e4.
    model, x = block(solution).double(), vectors().double()
    with torch.no_grad():
        small, large = (float((model(k * x) - k * x).norm()) for k in (1e3, 1e5))
    observe("how what a block adds grows with x", round(large / small, 1) if small else 0.0)
    assert_true(
        large <= 1.5 * small, f"what a block adds to x has the size {small:.3g} for 1000 x, and {large:.3g} for 100000 "
            "x",
        because="Attention and MLP each read a normalised copy, and a LayerNorm takes the scale away.",
    )


def heard(model, parts, x):
    """What went into and came out of each own module of these classes, in order, and the whole's output."""
    log = []

    def note(kind, args, out):  # copies, for a block may go on in what it was given
        if args and isinstance(out, torch.Tensor):
            log.append((kind, args[0].clone(), out.clone()))

    handles = [
        module.register_forward_hook(lambda _, args, out, kind=kind: note(kind, args, out))
        for module in model.modules() for kind, cls in parts.items() if isinstance(module, cls)
    ]  # fmt: skip
    with torch.no_grad():
        out = model(x)
    for handle in handles:
        handle.remove()
    return log, out


def test_the_mlp_reads_what_attention_has_added(solution):
    model = solution.TransformerBlock(C, H, BLOCK).to(draw("d", 1).device).eval()
    x = 1 + 2 * vectors()
    log, out = heard(model, {"attention": solution.CausalSelfAttention, "the MLP": solution.MLP}, x)
    order = [kind for kind, _, _ in log]
    if sorted(order) != ["attention", "the MLP"]:
        return  # written without the two classes, or called in another way: the other checks judge it
    assert_equal(order, ["attention", "the MLP"], "the order of the parts in a block", because="Attention first, then "
    "the MLP.")
    (_, first_in, first_out), (_, second_in, second_out) = log
    normal = F.layer_norm
    assert_close(
        first_in, normal(x, (C,)), "what attention reads in a new block", atol=2e-3, record=False,
        because="Attention reads a normalised copy of x: mean 0 and variance 1 for every token.",
    )
    for name, y in {"x alone": x, "what attention gave, without x": first_out}.items():
        observe(f"the MLP reads {name}", torch.allclose(second_in, normal(y, (C,)), atol=1e-2))
    assert_close(
        second_in, normal(x + first_out, (C,)), "what the MLP reads in a new block", atol=2e-3, record=False,
        because="It reads a normalised copy of x + attention: not of x alone, and not of attention's result alone.",
    )
    assert_close(
        out, x + first_out + second_out, "the output of a new block", atol=1e-4, record=False,
        because="It is x, plus what attention gave, plus what the MLP gave.",
    )


def test_a_block_passes_dropout_on(solution):
    assert_drops_in_train_mode_only(lambda **more: block(solution, **more), vectors(), "a block")


def test_the_gradients_of_a_block_are_right(solution):
    unnamed.assert_gradients_are_slopes(
        block(solution), vectors(3), "the output of a block",
        because="Learning goes the way back through every step; detach(), .data and torch.no_grad() cut a part of it.",
    )


# --- GPT2: what holds for every call -------------------------------------------------------------


@pytest.mark.parametrize("length", [1, T, BLOCK])
def test_gpt2_gives_scores_for_every_token_of_the_vocabulary(solution, length):
    assert_shape(
        gpt2(solution)(text(length)), (B, length, V), "the output of GPT2",
        because="It is the logits alone, for every position, as training needs all of them.",
    )


def test_a_block_copes_with_equal_channels(solution):
    assert_finite(
        block(solution), torch.ones_like(vectors()),
        because="The variance of equal channels is 0: the eps of a LayerNorm, under its root, keeps that from 0 / 0.",
    )


def test_every_logit_is_a_number(solution):
    assert_finite(gpt2(solution), text())


def test_the_output_of_gpt2_is_raw_scores(solution):
    out = gpt2(solution)(text())
    with torch.no_grad():
        sums = torch.stack([out.sum(-1), out.exp().sum(-1)])
    assert_true(
        not bool(((sums - 1).abs() < 1e-3).all(-1).all(-1).any()), "the output of GPT2 is probabilities or their "
            "logarithms",
        because="The output is what the head gives, raw scores: softmax and log_softmax are the loss's business.",
    )


def test_gpt2_leaves_its_input_alone(solution):
    assert_input_untouched(gpt2(solution), text(), what="GPT2")


def test_gpt2_is_repeatable_in_eval_mode(solution):
    assert_repeatable(gpt2(solution, dropout_p=0.5), text(), what="the output of GPT2")


@pytest.mark.parametrize("lengths", [(6, T), (BLOCK, 2)], ids=str)
def test_gpt2_keeps_nothing_between_calls(solution, lengths):
    assert_nothing_is_kept(lambda: gpt2(solution), *map(text, lengths), what="the logits")


def test_rows_of_a_batch_are_independent(solution):
    assert_rows_independent(gpt2(solution), text(), what="the logits", other=draw_ids("other", B, T))


def test_gpt2_works_in_double_precision(solution):
    assert_keeps_dtype(gpt2(solution), text(), what="the output of GPT2")


def test_gpt2_works_in_half_precision(solution):
    assert_half_precision(fill(solution.GPT2(V, C, H, 1, BLOCK), gain=0.5), text())


def test_gpt2_works_on_another_device(solution):
    assert_moves(gpt2(solution), text(), what="GPT2")


def test_gpt2_refuses_a_text_that_is_too_long(solution):
    with assert_raises(
        Exception, f"a text of {BLOCK + 1} tokens with block_size={BLOCK}",
        because="There is no position embedding for it, and cutting it off in silence would hide the mistake.",
    ):
        gpt2(solution)(text(BLOCK + 1))


@pytest.mark.parametrize(
    "sizes",
    [{"vocab_size": 5, "embed_dim": 8, "num_heads": 1, "num_layers": 1, "block_size": 4},
     {"vocab_size": 100, "embed_dim": 12, "num_heads": 12, "num_layers": 3, "block_size": 1}], ids=["one head",
     "one token"],
)  # fmt: skip
def test_any_size_works(solution, sizes):
    out = fill(solution.GPT2(**sizes))(draw_ids("ids", 1, sizes["block_size"], vocab_size=5))
    assert_shape(
        out, (1, sizes["block_size"], sizes["vocab_size"]), "the output of "
            f"GPT2({', '.join(f'{k}={v}' for k, v in sizes.items())})",
        because="Every size comes from the constructor's arguments.",
    )


# --- GPT2: what it computes ----------------------------------------------------------------------


def test_each_layer_has_weights_of_its_own(solution):
    one, two, three = (matrices(gpt2(solution, layers)) for layers in (1, 2, 3))
    assert_equal(
        [two - one, three - two], [12 * C * C] * 2, "what a second and a third layer add to the number of weights, "
            "biases and norms aside,",
        because="Each of num_layers layers is a block of its own, with 12 C * C weights; [block] * n is one block n "
        "times.",
    )


def test_positions_are_learned(solution):
    short, long = (
        sum(p.numel() for p in solution.GPT2(V, C, H, 1, size).parameters() if p.requires_grad) for size in (BLOCK,
        BLOCK + 1)
    )
    assert_equal(
        long - short, C, "what one more position adds to the number of learned parameters",
        because="Every position has a vector of C numbers of its own, and it is learned: no fixed sines, and not "
        "frozen.",
    )


def test_positions_matter(solution):
    with torch.no_grad():
        out = gpt2(solution)(torch.full((1, T), 3, device=draw("d", 1).device))
    assert_true(
        bool((out[:, 1:] - out[:, :1]).abs().amax(-1).min() > 1e-4), "in a text of equal tokens another position gets "
            "the logits of the first",
        because="Tokens that are equal differ by their position's vector alone, which is added to the token's.",
    )


def test_a_prefix_gives_the_same_logits_alone(solution):
    model, ids = gpt2(solution), text()
    assert_close(
        model(ids[:, :4]), model(ids)[:, :4], "the logits of the first 4 tokens alone", atol=1e-4,
        because="Positions count from 0 at the start of every text, and no logit depends on how long the text is.",
    )


@pytest.mark.parametrize("length", [2, 6])
def test_changing_a_later_token_never_changes_an_earlier_output(solution, length):
    assert_causal(gpt2(solution), text(length))


def test_every_output_depends_on_all_tokens_so_far(solution):
    assert_sees_the_past(gpt2(solution), text(5))


def test_the_head_reads_a_normalised_vector(solution):
    model = solution.GPT2(V, C, H, 2, BLOCK).to(draw("d", 1).device).eval()
    read = []
    heads = [layer for layer in unnamed.linears(model) if layer.out_features == V]
    handles = [head.register_forward_hook(lambda _, args, out: read.extend(args)) for head in heads]
    with torch.no_grad():
        model(text())
    for handle in handles:
        handle.remove()
    if len(read) != 1 or read[0].shape[-1] != C:
        return  # a head without nn.Linear, such as x @ wte.weight.T: nothing to listen at
    flat = read[0].reshape(-1, C)
    # Where embeddings start at 0.02, their variance is 8e-4 and less, and the norm's epsilon takes a few percent.
    normal = bool(flat.mean(-1).abs().max() < 1e-3) and bool((flat.var(-1, unbiased=False) - 1).abs().max() < 0.2)
    assert_true(
        normal, "what the head of a new GPT2 reads has not mean 0 and variance 1 for every token",
        because="A last LayerNorm stands between the blocks and the head.",
    )


def test_gpt2_hands_its_dropout_to_every_part(solution):
    model, x = gpt2(solution, dropout_p=0.5).train(), vectors()
    with torch.no_grad():
        parts = [part for part in model.modules() if isinstance(part, (solution.CausalSelfAttention, solution.MLP))]
        silent = sorted({type(part).__name__ for part in parts if bool((part(x) == part(x)).all())})
    assert_equal(
        silent, [], "the list of parts of GPT2(..., dropout_p=0.5) that give the same output twice in train mode",
        because="dropout_p is handed on: by GPT2 to its blocks, and by a block to its attention and its MLP.",
    )


def test_the_sum_of_both_embeddings_is_dropped(solution):
    model, given = gpt2(solution, dropout_p=0.5).train(), []
    for part in model.modules():
        if isinstance(part, solution.TransformerBlock):
            part.register_forward_pre_hook(lambda _, args: given.extend(x.detach().clone() for x in args[:1]))
    with torch.no_grad():
        model(text(BLOCK).repeat(8, 1))
    share = float((given[0] == 0).float().mean()) if given else 0.5
    observe("share of what the first block is given that is 0", round(share, 1))
    if not 0.35 < share < 0.65:
        fail(
            "in train mode, with dropout_p=0.5, too much or too little of what the first block is given is 0:",
            expected="about 50 %", got=f"{100 * share:.0f} %",
            because="Dropout acts once, on the sum of both embeddings. What is dropped before positions are added is "
            "no 0 any more.",
        )


def test_dropout_leaves_numbers(solution):
    with torch.no_grad():
        out = assert_tensor(gpt2(solution, dropout_p=0.5).train()(text(BLOCK)), "the logits")
    assert_true(
        bool(out.isfinite().all()), "in train mode, with dropout_p=0.5, there is NaN or infinity in the logits",
        because="Weights are dropped after the softmax. What is dropped before it meets the -inf of the mask, and 0 * "
        "-inf is NaN.",
    )


def test_gpt2_drops_in_train_mode_only(solution):
    assert_drops_in_train_mode_only(lambda **more: gpt2(solution, **more), text(), "GPT2")


def test_gradients_reach_every_parameter(solution):
    model, ids = gpt2(solution).train(), text(BLOCK)
    ids[0, 0] = 0
    F.cross_entropy(model(ids).flatten(0, 1), draw_ids("targets", B, BLOCK).flatten()).backward()
    tables = {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.shape == (V, C)}
    apart = [name for name, grad in tables.items() if bool(grad.any()) and not bool(grad[0].any())]
    assert_equal(
        apart, [], "the list of tables whose row 0 has no gradient, for a text with token 0,",
        because="Token 0 is a token like any other and its vector is learned; padding_idx=0 sets it apart.",
    )
    # A bias of the keys shifts all scores of a query alike, so its gradient is 0 in theory and rounding in practice.
    for p in model.parameters():
        p.grad = None if p.grad is None else torch.ones_like(p)
    model.eval()
    assert_gradients(model, "the loss", again=lambda: model(text(BLOCK)))


def test_the_gradients_of_gpt2_are_right(solution):
    unnamed.assert_gradients_are_slopes(
        gpt2(solution, layers=1), text(3), "the logits",
        because="Learning goes the way back through every step; detach(), .data and torch.no_grad() cut a part of it.",
    )
