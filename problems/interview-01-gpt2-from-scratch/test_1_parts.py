"""Interview 01, part 1: what CausalSelfAttention and MLP promise, from cause to consequence.

The names of layers are the candidate's own, so no check looks for one: modules are filled with numbers that
follow from whatever names they have, and judged by what they do. B batch, T tokens, C embed_dim, H num_heads.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    CheckFailed,
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_raises,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_true,
    draw,
    fail,
    fill,
    observe,
    unnamed,
)
from common.testing.attention import about_large_scores
from common.testing.calls import assert_nothing_is_kept
from common.testing.causality import assert_causal, assert_finite, assert_sees_the_past
from common.testing.comparisons import assert_layout_is_free
from common.testing.dropout import assert_drops_in_train_mode_only
from common.testing.dtypes import assert_half_precision

B, T, C, H, BLOCK = 2, 7, 15, 3, 11
AXES = {"B": B, "C": C, "H": H, "block_size": BLOCK}


def attention(solution, **more):
    return fill(solution.CausalSelfAttention(C, H, BLOCK, **more))


def mlp(solution, **more):
    return fill(solution.MLP(C, **more))


def vectors(length=T):
    return draw("x", B=B, T=length, C=C)


def matrices(module):
    """How many numbers all weight matrices hold; biases and norms, however they are kept, left out."""
    return sum(p.numel() for p in module.parameters() if p.ndim >= 2 and sorted(p.shape)[-2] > 4)


def quiet(module):
    """All parameters at zero, so that nothing but x itself can come out."""
    with torch.no_grad():
        for p in module.parameters():
            p.zero_()
    return module


# --- CausalSelfAttention: what holds for every call ----------------------------------------------


@pytest.mark.parametrize("length", [1, T, BLOCK])
def test_attention_keeps_the_shape(solution, length):
    assert_shape(
        attention(solution)(vectors(length)), (B, length, C), "the output of attention",
        because="The heads come out side by side and are projected: (B, T, C) in, (B, T, C) out.",
    )


def test_attention_gives_numbers(solution):
    assert_finite(attention(solution), vectors())


def test_attention_leaves_its_input_alone(solution):
    assert_input_untouched(attention(solution), vectors(), what="CausalSelfAttention")


def test_attention_is_repeatable_in_eval_mode(solution):
    assert_repeatable(attention(solution, dropout_p=0.5), vectors(), what="the output of attention")


@pytest.mark.parametrize("lengths", [(6, T), (BLOCK, 2)], ids=str)
def test_attention_keeps_nothing_between_calls(solution, lengths):
    assert_nothing_is_kept(lambda: attention(solution), *map(vectors, lengths), what="the output of attention")


def test_attention_does_not_mind_how_x_lies_in_memory(solution):
    assert_layout_is_free(attention(solution), vectors(), what="the output of attention for a non-contiguous x")


def test_attention_does_not_mix_the_rows_of_a_batch(solution):
    assert_rows_independent(attention(solution), vectors(), what="the output of attention", other=draw("y", B, T, C))


def test_attention_copes_with_scores_in_the_thousands(solution):
    model, x = attention(solution), 60 * vectors()
    with torch.no_grad():
        because = about_large_scores(model(x))
    assert_finite(model, x, because=because)


def test_attention_works_in_half_precision(solution):
    assert_half_precision(attention(solution), vectors())


def test_heads_must_divide_the_width(solution):
    with assert_raises(
        Exception, "CausalSelfAttention(15, 4, 11)",
        because="15 channels cannot be shared among 4 heads; a ValueError that names both numbers says so best.",
    ):
        solution.CausalSelfAttention(15, 4, 11)(vectors())


# --- CausalSelfAttention: what it computes -------------------------------------------------------


def test_attention_has_four_matrices_of_c_by_c(solution):
    assert_equal(
        matrices(attention(solution)), 4 * C * C, f"the number of weights of CausalSelfAttention({C}, {H}, {BLOCK}), "
            "biases aside,",
        because=f"Query, key, value and output projection each map {C} numbers to {C}, for all heads together: 4 * C * "
        "C.",
    )


def test_attention_adds_nothing_of_x_itself(solution):
    with torch.no_grad():
        out = quiet(attention(solution))(vectors())
    assert_close(
        out, torch.zeros_like(out), "the output of attention when all its parameters are zero",
        because="Attention gives what is to be added to x; the addition is the block's.",
    )


def test_one_token_only_attends_to_itself(solution):
    model, a, b = attention(solution), draw("a", B, 1, C), draw("b", B, 1, C)
    with torch.no_grad():
        right = model(a + b) + model(torch.zeros_like(a))
        assert_close(
            model(a) + model(b), right, "f(a) + f(b), which should be f(a + b) + f(0), for texts of one token,",
            atol=1e-4,
            because="One token gives itself the weight 1, so attention is then two linear layers and nothing more. "
            "Where it is not, weights were taken over something else than tokens: over heads, as the fused function "
            "does with (B, T, H, D) in the place of (B, H, T, D), or over the texts of the batch.",
        )


def cut_across(attend, *, back):
    """The formula on heads that are cut from (B, T, C) by reshape(B, H, T, D) alone, and perhaps merged so."""

    def attended(*heads):
        q, k, v = (part.transpose(1, 2).flatten(2).reshape(part.shape) for part in heads)
        mixed = attend(q, k, v)
        return mixed.reshape(mixed.transpose(1, 2).shape).transpose(1, 2) if back else mixed

    return attended


CUT = "channels of other tokens in a head: (B, T, C) was reshaped to (B, H, T, D) as it is, without a transpose"
ACROSS = [(CUT, cut_across(unnamed.causal_attention(), back=back), H) for back in (False, True)]
HEADS = (
    "A head's channels are cut from each token's own: (B, T, C) to (B, T, H, D) to (B, H, T, D), and the way back is "
    "the same in reverse."
)


def readings_of(model, x, known):
    """How the output of attention reads, by the formulas that give it in some reading of the layers."""
    with torch.no_grad():
        out = model(x)
        return [name for name, formula, heads in known
                if unnamed.is_one_of(out, unnamed.attention_outputs(formula, model, x, heads))]  # fmt: skip


@pytest.mark.parametrize("length", [2, 6])
def test_attention_is_causal(solution, length):
    model = attention(solution)
    try:
        assert_causal(model, vectors(length))
    except CheckFailed as failure:
        if readings_of(model, vectors(length), ACROSS):
            failure.because = f"There are {CUT}. {HEADS}"
        raise


def test_attention_sees_itself_and_all_the_past(solution):
    assert_sees_the_past(attention(solution), vectors(5))


# What attention may be instead, by the formula that gives the very output: (how it reads, formula, heads).
READINGS = [
    ("scores that are not divided by anything", unnamed.causal_attention(lambda q: 1.0), H),
    ("scores divided by sqrt(C)", unnamed.causal_attention(lambda q: C**-0.5), H),
    ("scores divided by D, without a root", unnamed.causal_attention(lambda q: 1 / q.size(-1)), H),
    ("scores multiplied by sqrt(D)", unnamed.causal_attention(lambda q: q.size(-1) ** 0.5), H),
    ("scores divided by sqrt(H)", unnamed.causal_attention(lambda q: H**-0.5), H),
    ("one head of size C", unnamed.causal_attention(), 1),
    ("a softmax over the queries, dim=-2", unnamed.causal_attention(axis=-2), H),
    ("weights masked after the softmax", unnamed.renormalised_never, H),
    *ACROSS,
]
TWICE = "Divided by sqrt(D) twice is divided by D, and F.scaled_dot_product_attention divides by sqrt(D) of its own."


def test_attention_follows_the_formula(solution):
    model, x = attention(solution), vectors()
    with torch.no_grad():
        out = model(x)
        if unnamed.is_one_of(out, unnamed.attention_outputs(unnamed.causal_attention(), model, x, H)) is not False:
            return  # right, or written with layers that cannot be read from outside
    found = readings_of(model, x, READINGS)
    observe("attention reads as", found)
    observe("the output of attention", out)
    fail(
        "attention does not compute softmax(q k^T / sqrt(D)) v in each head:",
        expected="that formula, whichever of your layers is the query's", got=found[0] if found else "other numbers, "
            "in every reading of your layers",
        because=f"D = C // H is the size of one head. {TWICE if found and 'without a root' in found[0] else HEADS}",
    )


def test_attention_drops_in_train_mode_only(solution):
    assert_drops_in_train_mode_only(lambda **more: attention(solution, **more), vectors(), "attention")


@pytest.mark.parametrize("part", [attention, mlp], ids=["attention", "the MLP"])
def test_dropout_acts_on_the_output(solution, part):
    with torch.no_grad():
        out = part(solution, dropout_p=0.5).train()(draw("many", 40, T, C))
    share = float((out == 0).float().mean())
    observe("the share of zeros", share)
    assert_true(
        0.44 <= share <= 0.58, f"with dropout_p=0.5 {share:.0%} of the output are 0 in train mode",
        because="The last thing in attention, and in the MLP, is dropout of what comes out: about half of it becomes "
        "0, none if it is missing, and three quarters if it stands there twice.",
    )


def test_dropout_acts_on_the_attention_weights(solution):
    # A text of one token: its only weight, 1, is what may be dropped of each head.
    x = vectors(1)[:1].expand(200, 1, C)
    with torch.no_grad():
        out = attention(solution, dropout_p=0.5).train()(x)[:, 0, 0]
    levels = sorted({round(v, 4) for v in out.tolist()})
    observe("different outputs", float(len(levels) > 2))
    if len(levels) <= 2:
        fail(
            "in train mode, with dropout_p=0.5, the first channel of 200 equal texts of one token has too few values:",
            expected="one for each set of heads whose weight is dropped, and 0", got=str(levels),
            because="Dropout acts on the attention weights, after the softmax, and on the output. Before the softmax "
            "it changes scores, and a token that sees itself alone has the weight 1 all the same.",
        )  # fmt: skip


def test_the_gradients_of_attention_are_right(solution):
    unnamed.assert_gradients_are_slopes(
        attention(solution), vectors(3), "the output of attention",
        because="Learning goes the way back through every step; detach(), .data and torch.no_grad() cut a part of it.",
    )


# --- MLP -----------------------------------------------------------------------------------------


def test_the_mlp_keeps_the_shape(solution):
    assert_shape(
        mlp(solution)(vectors()), (B, T, C), "the output of the MLP",
        because="Every token comes out with as many channels as it went in.",
    )


def test_the_mlp_leaves_its_input_alone(solution):
    assert_input_untouched(mlp(solution), vectors(), what="MLP")


def test_the_mlp_does_not_mind_how_x_lies_in_memory(solution):
    assert_layout_is_free(mlp(solution), vectors(), what="the output of the MLP for a non-contiguous x")


def test_the_mlp_is_four_times_as_wide_inside(solution):
    assert_equal(
        matrices(mlp(solution)), 8 * C * C, f"the number of weights of MLP({C}), biases aside,",
        because="C to 4 C and back to C: two matrices of 4 C * C.",
    )


def test_the_mlp_takes_each_token_by_itself(solution):
    model, x = mlp(solution), vectors()
    with torch.no_grad():
        assert_close(
            model(x)[:, :1], model(x[:, :1]), "the output of the MLP for token 0 among others",
            because="The MLP looks at one token at a time, so company changes nothing.",
        )


def test_the_mlp_adds_nothing_of_x_itself(solution):
    with torch.no_grad():
        out = quiet(mlp(solution))(vectors())
    assert_close(
        out, torch.zeros_like(out), "the output of the MLP when all its parameters are zero",
        because="The MLP gives what is to be added to x; the addition is the block's.",
    )


GELUS = (F.gelu, lambda y: F.gelu(y, approximate="tanh"))  # they differ by up to 5e-4, and both are right
ACTIVATIONS = {
    "ReLU": F.relu, "no activation": lambda y: y, "SiLU": F.silu, "tanh alone": torch.tanh, "a sigmoid": torch.sigmoid,
    "GELU twice": lambda y: F.gelu(F.gelu(y)),
    "x * sigmoid(1.702 x), a rougher form": lambda y: y * torch.sigmoid(1.702 * y),
}  # fmt: skip


def test_the_mlp_uses_gelu(solution):
    model, x = mlp(solution), vectors()
    with torch.no_grad():
        out = model(x)
        right = [unnamed.is_one_of(out, unnamed.feed_forward_outputs(gelu, model, x)) for gelu in GELUS]
        if True in right or None in right:
            return  # right, or written with layers that cannot be read from outside
        found = [name for name, f in ACTIVATIONS.items() if unnamed.is_one_of(out, unnamed.feed_forward_outputs(f,
        model, x))]
    observe("the activation", found)
    observe("the output of the MLP", out)
    fail(
        "the MLP is not linear, GELU, linear:", expected="GELU between the two layers (exact or tanh), and nothing "
        "else",
        got=found[0] if found else "another function", because="GPT-2 uses GELU, and nothing after the second layer "
        "but dropout.",
    )


def test_the_mlp_drops_in_train_mode_only(solution):
    assert_drops_in_train_mode_only(lambda **more: mlp(solution, **more), vectors(), "the MLP")


def test_the_gradients_of_the_mlp_are_right(solution):
    unnamed.assert_gradients_are_slopes(
        mlp(solution), vectors(3), "the output of the MLP",
        because="Learning goes the way back through every step; detach(), .data and torch.no_grad() cut a part of it.",
    )
