"""Problem 04: what split_heads, merge_heads and MultiHeadAttention promise, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, H n_head, D = C // H.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_same_module,
    assert_shape,
    assert_true,
    draw,
    fill,
    tiny,
    twins,
)
from common.testing.attention import (
    assert_attn_dropout,
    assert_equal_scores_average,
    assert_equals_torchs_attention,
    assert_every_head_learns,
    assert_heads_stay_in_their_channels,
    assert_resid_dropout,
    assert_score_scale,
    assert_single_token_gets_its_value,
)

CONFIG = tiny()
B, T, C, H = 2, 7, CONFIG.n_embd, CONFIG.n_head
D = C // H
NO_DROPOUT = tiny(attn_pdrop=0.0, resid_pdrop=0.0)


# --- split_heads and merge_heads -----------------------------------------------------------------


@pytest.mark.parametrize("n_head", [1, 3, 5, 15])
def test_split_heads_gives_each_head_its_own_axis(solution, n_head):
    heads = solution.split_heads(draw("x", B, T, C), n_head)
    assert_shape(
        heads, (B, n_head, T, C // n_head), f"split_heads(x, {n_head})",
        because="(B, T, C) becomes (B, H, T, D): heads right after the batch, so that @ works on each head's (T, D).",
    )  # fmt: skip


def test_head_h_gets_channels_h_times_d_of_every_token(solution):
    x = draw("x", B, T, C)
    heads = solution.split_heads(x, H)
    for h in range(H):
        assert_close(
            heads[:, h], x[..., h * D : (h + 1) * D], f"head {h} of split_heads(x, {H})",
            because=f"Head {h} is channels {h * D} to {(h + 1) * D - 1} of each token. reshape(B, H, T, D) re-cuts memory across tokens, and "
            "view(B, T, D, H) deals channels out in turn: use view(B, T, H, D), then transpose(1, 2).",
        )  # fmt: skip


def test_merge_heads_lays_the_heads_side_by_side(solution):
    heads = draw("heads", B, H, T, D)
    merged = solution.merge_heads(heads)
    assert_shape(merged, (B, T, C), "merge_heads(x)", because="(B, H, T, D) becomes (B, T, C), where C = H * D.")
    assert_close(
        merged, torch.cat([heads[:, h] for h in range(H)], dim=-1), "merge_heads(x)",
        because="Token t gets head 0's D channels, then head 1's, and so on: transpose(1, 2) brings tokens to the front again, then flatten the last two axes.",
    )  # fmt: skip


@pytest.mark.parametrize("n_head", [1, 3, 5])
def test_merging_undoes_splitting(solution, n_head):
    x = draw("x", B, T, C)
    assert_close(
        solution.merge_heads(solution.split_heads(x, n_head)), x, f"merge_heads(split_heads(x, {n_head}))",
        because="The two are each other's inverse.",
    )  # fmt: skip


def test_heads_of_a_strided_input_are_the_same(solution):
    x = draw("x", B, T, C)
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert_close(
        solution.split_heads(strided, H), solution.split_heads(x, H), "split_heads of a non-contiguous input",
        because="The same numbers in another memory layout: use reshape or unflatten where view asks for contiguous memory.",
    )  # fmt: skip
    heads = draw("heads", B, H, T, D)
    strided = heads.transpose(1, 3).contiguous().transpose(1, 3)
    assert_close(
        solution.merge_heads(strided), solution.merge_heads(heads), "merge_heads of a non-contiguous input",
        because="After a transpose memory is not contiguous: use reshape or flatten, or .contiguous() before view.",
    )  # fmt: skip


# --- MultiHeadAttention: its parts ---------------------------------------------------------------


def attention(solution, config=CONFIG):
    return fill(solution.MultiHeadAttention(config))


def test_the_layers_have_gpt2s_names_and_shapes(solution):
    assert_parameters(
        solution.MultiHeadAttention(CONFIG),
        {
            "c_attn.weight": (3 * C, C), "c_attn.bias": (3 * C,),
            "c_proj.weight": (C, C), "c_proj.bias": (C,),
        },
        "MultiHeadAttention",
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, 4, CONFIG.n_positions])
def test_the_output_has_the_shape_of_the_input(solution, length):
    assert_shape(attention(solution)(draw("x", B, length, C)), (B, length, C), "the output")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(attention(solution), draw("x", B, T, C), what="the output")


def test_a_single_token_gets_its_own_value_through_c_proj(solution):
    assert_single_token_gets_its_value(attention(solution), draw("x", B, 1, C))


def test_every_token_sees_every_token(solution):
    model, x = attention(solution), draw("x", B, T, C)
    before = model(x)
    for j in range(T):
        changed = x.clone()
        changed[:, j] = draw("another token", B, C)
        moved = (model(changed) != before).any(-1).all(0)  # (T,)
        blind = [i for i in range(T) if not moved[i]]
        assert_equal(
            blind, [], f"the list of tokens whose output ignores token {j}",
            because="Nothing is masked in this problem: every output depends on every token. If only earlier tokens are blind there is a "
            "causal mask, which comes in problem 05; if only token j itself answers, positions never mix.",
        )  # fmt: skip


# --- weights, scale, heads -----------------------------------------------------------------------


def test_equal_scores_give_the_plain_average(solution):
    assert_equal_scores_average(attention(solution), draw("x", B, T, C), causal=False)


def test_a_heads_values_land_in_that_heads_channels(solution):
    assert_heads_stay_in_their_channels(attention(solution), draw("x", B, T, C), H)


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    assert_score_scale(attention(solution), draw("x", B, 2, C), H)


def test_each_head_has_scores_of_its_own(solution):
    # Queries and keys of head 0 alone are changed; the output channels of the others must not move.
    model, x = attention(solution), draw("x", B, T, C)
    with torch.no_grad():
        model.c_proj.weight.copy_(torch.eye(C))
        before = model(x)
        model.c_attn.weight[:D] *= -1
        after = model(x)
    assert_close(
        after[..., D:], before[..., D:], "the output of heads 1 and up, after changing only head 0's queries,",
        because="Heads do not see each other: softmax runs over the keys (dim=-1), not over the heads (dim=1), and each head uses its own queries and keys.",
    )  # fmt: skip
    assert_true(
        bool((after[..., :D] != before[..., :D]).any()), "head 0's output ignores head 0's queries",
        because="Rows 0 to D - 1 of c_attn make head 0's queries.",
    )  # fmt: skip


def test_the_output_equals_torchs_own_attention(solution):
    assert_equals_torchs_attention(attention(solution), draw("x", B, T, C), H, causal=False)


def test_the_output_equals_the_references_step_by_step(solution, reference):
    mine, theirs = twins(solution.MultiHeadAttention, reference.MultiHeadAttention, CONFIG)
    assert_same_module(mine, theirs, draw("x", B, T, C), what="the output")


@pytest.mark.parametrize("n_head", [1, 5, 15])
def test_any_number_of_heads_works(solution, reference, n_head):
    config = tiny(n_head=n_head)
    mine, theirs = twins(solution.MultiHeadAttention, reference.MultiHeadAttention, config)
    assert_same_module(
        mine, theirs, draw("x", B, T, C), what=f"the output with {n_head} heads",
        because="Take the number of heads from the config; D follows from it.",
    )  # fmt: skip


def test_large_scores_do_not_overflow(solution):
    model, x = attention(solution), 60 * draw("x", B, T, C)
    assert_true(
        bool(model(x).isfinite().all()), "the output is not finite when the scores are in the thousands",
        because="exp overflows above 88 in float32: use torch.softmax, or subtract each row's maximum first.",
    )  # fmt: skip


# --- dropout -------------------------------------------------------------------------------------


def test_attn_dropout_drops_attention_weights(solution):
    assert_attn_dropout(attention(solution, tiny(attn_pdrop=0.4, resid_pdrop=0.0)), H, 0.4)


def test_resid_dropout_drops_the_output_of_c_proj(solution):
    assert_resid_dropout(attention(solution, tiny(attn_pdrop=0.0, resid_pdrop=0.4)), 0.4)


def test_rates_of_zero_drop_nothing(solution):
    model, x = attention(solution, NO_DROPOUT), draw("x", B, T, C)
    quiet = model(x)
    assert_close(
        model.train()(x), quiet, "the output in train mode with all dropout rates at 0",
        because="With attn_pdrop = resid_pdrop = 0 train and eval mode agree: a rate is hard-coded, or taken from another field.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(attention(solution), draw("x", B, T, C), what="MultiHeadAttention")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(
        attention(solution), draw("x", B, T, C), what="the output", other=draw("y", B, T, C)
    )


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    model, x = attention(solution), draw("x", B, T, C)
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert_close(
        model(strided), model(x), "the output for a non-contiguous input",
        because="The same numbers in another memory layout: use reshape where view asks for contiguous memory.",
    )  # fmt: skip


def test_every_parameter_gets_a_gradient(solution):
    assert_every_head_learns(attention(solution), draw("x", B, T, C))


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(attention(solution), draw("x", B, T, C), what="the output")


def test_it_moves_to_another_device(solution):
    assert_moves(attention(solution), draw("x", B, T, C), what="MultiHeadAttention")
