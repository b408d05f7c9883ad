"""A training run, second part: attention and the MLP, each alone and on a few tokens.

Shapes: B batch, T tokens, C n_embd, H n_head, D = C // H.
"""

import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_dropped,
    assert_repeatable,
    assert_true,
    draw,
    fill,
    observe,
)
from common.testing.attention import (
    assert_score_scale,
    assert_single_token_gets_its_value,
    assert_weights_sum_to_one,
)
from common.testing.causality import assert_causal, assert_sees_the_past

B, T, C, H, N, RATE = 2, 7, 15, 3, 11, 0.4
D = C // H
AXES = {"B": B, "T": T, "C": C, "H": H, "D": D}


def settings(solution, **changes):
    sizes = {"context": N, "n_embd": C, "n_head": H, "n_layer": 1, "dropout": 0.0}
    return solution.Settings(**{**sizes, **changes})


def attention(solution, **changes):
    """Attention with weights that follow from their names, in eval mode."""
    return fill(solution.Attention(settings(solution, **changes)))


def text(length=T):
    return draw("x", B=B, T=length, C=C)


# --- who sees whom --------------------------------------------------------------------------------


def test_a_token_sees_no_later_one(solution):
    """Change a late token and see which outputs move."""
    assert_causal(attention(solution), text(6))


def test_a_token_sees_itself_and_all_before_it(solution):
    """Change an early token and see which outputs stay as they were."""
    assert_sees_the_past(attention(solution), text())


def test_the_weights_of_a_token_sum_to_one(solution):
    """Set all values to 1: whatever the weights are, 1 has to come out."""
    assert_weights_sum_to_one(attention(solution), text())


# --- queries, keys, values and heads --------------------------------------------------------------


def test_a_single_token_gets_its_own_value(solution):
    """Run a single token: its output is its own value, put through c_proj."""
    assert_single_token_gets_its_value(attention(solution), text(1))


def test_scores_are_divided_by_the_root_of_a_heads_width(solution):
    """Run two tokens and read their scores back from the weights."""
    assert_score_scale(attention(solution), text(2), H)


def test_a_head_has_neighbouring_channels(solution):
    """Change the queries of one head and see which channels move."""
    model, x = attention(solution), text(2)
    with torch.no_grad():
        model.c_proj.weight.copy_(torch.eye(C))
        before = model(x)
        moved = []
        for head in range(H):
            cut = slice(head * D, (head + 1) * D)
            model.c_attn.weight[cut] *= 2
            moved.append(((model(x) - before).abs() > 1e-6).flatten(0, 1).any(0))
            model.c_attn.weight[cut] /= 2
    found = torch.stack(moved)
    observe("channels that move with each head's queries", found)
    right = torch.eye(H, dtype=torch.bool).repeat_interleave(D, 1)
    assert_true(
        torch.equal(found, right), "the queries of a head move other channels than those of the head",
        because=f"Head h has channels h * {D} to h * {D} + {D - 1} of queries, keys and values, and its result goes "
        "back to the same channels.",
    )


# --- dropout --------------------------------------------------------------------------------------


def test_attention_drops_nothing_in_eval_mode(solution):
    """Run the same input twice in eval mode."""
    assert_repeatable(attention(solution, dropout=RATE), text(), what="the output of Attention")


def test_attention_dropout_acts_on_the_weights(solution):
    """Give a single token values that you know: in train mode each head's are all there, scaled up, or all 0."""
    model, values = attention(solution, dropout=RATE), torch.arange(1.0, C + 1)
    with torch.no_grad():
        model.c_attn.weight[2 * C :] = 0
        model.c_attn.bias[2 * C :] = values
        model.c_proj.weight.copy_(torch.eye(C))
        model.c_proj.bias.zero_()
        left = (model.train()(draw("x", 400, 1, C)) / values).view(400, H, D)
    because = (
        "Dropout makes some attention weights 0, after the softmax, and scales up the others. A weight takes the whole "
        "value with it, all channels of the head at once."
    )
    assert_dropped(left[..., 0], 1.0, RATE, "the attention weights", because=because)
    split = bool(((left == 0) != (left[..., :1] == 0)).any())
    assert_true(not split, "a part of a head's value is dropped, and a part is not", because=because)


# --- the MLP --------------------------------------------------------------------------------------


def test_the_mlp_is_two_layers_with_the_exact_gelu_between(solution):
    """Compare MLP(x) with c_proj(F.gelu(c_fc(x))), made by hand."""
    model, x = fill(solution.MLP(settings(solution))), text()
    with torch.no_grad():
        assert_close(
            model(x), model.c_proj(F.gelu(model.c_fc(x))), "the output of MLP",
            because="It is c_fc, then the exact GELU, x times the share of a normal distribution below x, then c_proj.",
        )


def test_the_mlp_drops_nothing(solution):
    """Run the MLP in train mode and in eval mode."""
    model, x = fill(solution.MLP(settings(solution, dropout=RATE))), text()
    with torch.no_grad():
        assert_close(
            model.train()(x), model.eval()(x), "the output of MLP in train mode",
            because="The MLP has no dropout: what it gives is dropped by the block.", record=False,
        )
