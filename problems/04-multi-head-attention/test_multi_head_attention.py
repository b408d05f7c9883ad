"""Problem 04: what split_heads, merge_heads and MultiHeadAttention promise, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, H n_head, D = C // H.
"""

import pytest
import torch

from common.testing import (
    assert_close,
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
    assert_large_scores,
    assert_learns_with_dropout,
    assert_only_weights_are_dropped,
    assert_resid_dropout,
    assert_score_scale,
    assert_single_token_gets_its_value,
    assert_weights_sum_to_one,
)
from common.testing.calls import assert_nothing_is_kept, assert_weights_are_read
from common.testing.causality import assert_finite, assert_sees_every_token
from common.testing.comparisons import assert_layout_is_free, assert_same_gradients
from common.testing.dtypes import assert_half_precision

CONFIG = tiny()
B, T, C, H, N = 4, 7, CONFIG.n_embd, CONFIG.n_head, CONFIG.n_positions
D = C // H


def text(length=T):
    return draw("x", B=B, T=length, C=C)


def heads():
    return draw("heads", B=B, H=H, T=T, D=D)


# --- split_heads and merge_heads -----------------------------------------------------------------


@pytest.mark.parametrize("n_head", [1, 3, 5, 15])
def test_split_heads_gives_each_head_its_own_axis(solution, n_head):
    tiny(n_head=n_head)
    assert_shape(
        solution.split_heads(text(), n_head), (B, n_head, T, C // n_head), f"split_heads(x, {n_head})",
        because="(B, T, C) becomes (B, H, T, D): the heads come right after the batch, and of each there is a (T, D).",
    )


def test_merge_heads_makes_the_channels_one_axis_again(solution):
    assert_shape(
        solution.merge_heads(heads()), (B, T, C), "merge_heads(x)",
        because="(B, H, T, D) becomes (B, T, C), where C = H * D.",
    )


def test_splitting_and_merging_leave_their_input_as_it_was(solution):
    assert_input_untouched(lambda x: solution.split_heads(x, H), text(), what="split_heads")
    assert_input_untouched(solution.merge_heads, heads(), what="merge_heads")


def test_head_h_gets_channels_h_times_d_of_every_token(solution):
    x = text()
    split = solution.split_heads(x, H)
    for h in range(H):
        assert_close(
            split[:, h], x[..., h * D : (h + 1) * D], f"head {h} of split_heads(x, {H})",
            because=f"Head {h} is channels {h * D} to {(h + 1) * D - 1} of each token, and of no other token.",
        )


def test_merge_heads_lays_the_heads_side_by_side(solution):
    x = heads()
    assert_close(
        solution.merge_heads(x), torch.cat([x[:, h] for h in range(H)], dim=-1), "merge_heads(x)",
        because=f"Token t gets its {D} channels of head 0, then its {D} of head 1, and so on.",
    )


@pytest.mark.parametrize("n_head", [1, 3, 5])
def test_merging_undoes_splitting(solution, n_head):
    tiny(n_head=n_head)
    x = text()
    assert_close(
        solution.merge_heads(solution.split_heads(x, n_head)), x, f"merge_heads(split_heads(x, {n_head}))",
        because="The two are each other's inverse.",
    )


def test_heads_of_another_width_may_follow(solution):
    for width in (2 * D, D):
        x = draw("x", B, T, H * width)
        assert_shape(
            solution.split_heads(x, H), (B, H, T, width), f"split_heads(x, {H}) of {H * width} channels",
            because=f"n_head says into how many heads the channels of x are cut: D is what they have, divided by {H}, "
            "anew in each call.",
        )


def test_heads_of_a_strided_input_are_the_same(solution):
    x = text()
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert_close(
        solution.split_heads(strided, H), solution.split_heads(x, H), "split_heads of a non-contiguous input",
        because="The same numbers lie in memory in another order, which view minds and reshape does not.",
    )
    x = heads()
    strided = x.transpose(1, 3).contiguous().transpose(1, 3)
    assert_close(
        solution.merge_heads(strided), solution.merge_heads(x), "merge_heads of a non-contiguous input",
        because="The same numbers lie in memory in another order, which view minds and reshape does not.",
    )


def test_the_gradient_goes_back_through_splitting_and_merging(solution):
    x, direction = text().requires_grad_(), draw("direction", B=B, T=T, C=C)
    out = solution.merge_heads(solution.split_heads(x, H))
    assert_true(
        out.requires_grad, "no gradient can go back through merge_heads(split_heads(x, 3))",
        because="They only move numbers to other places, and gradients go the same way back; "
        "detach(), .data and torch.no_grad() cut it.",
    )
    (out * direction).sum().backward()
    assert_close(
        x.grad, direction, "the gradient that comes back to x",
        because="The gradient of each number goes to where the number came from.",
    )


# --- MultiHeadAttention: what it is --------------------------------------------------------------


def attention(solution, **changes):
    return fill(solution.MultiHeadAttention(tiny(**changes)))


def test_the_layers_have_the_names_and_shapes_of_gpt2(solution):
    shapes = {"c_attn.weight": (3 * C, C), "c_attn.bias": (3 * C,), "c_proj.weight": (C, C), "c_proj.bias": (C,)}
    assert_parameters(solution.MultiHeadAttention(CONFIG), shapes, "MultiHeadAttention")


@pytest.mark.parametrize("length", [1, 6, N, N + 2])
def test_the_output_has_the_shape_of_the_input(solution, length):
    assert_shape(
        attention(solution)(text(length)), (B, length, C), "the output",
        because="Every token comes out with as many channels as it went in.",
    )


def test_every_output_is_a_number(solution):
    assert_finite(
        attention(solution), text(),
        because="Scores of ordinary size have a softmax, and nothing is masked in this problem; "
        "NaN comes of 0 / 0, 0 * inf and inf - inf.",
    )


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(attention(solution), text(), what="MultiHeadAttention")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(attention(solution), text(), what="the output")
    assert_weights_are_read(attention(solution), text(), what="the output")


@pytest.mark.parametrize("lengths", [(6, T), (N, 2)], ids=str)
def test_a_text_of_another_length_may_follow(solution, lengths):
    assert_nothing_is_kept(lambda: attention(solution), *map(text, lengths), what="the output")


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    assert_layout_is_free(attention(solution), text(), what="the output for a non-contiguous input")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(attention(solution), text(), what="the output", other=draw("y", B=B, T=T, C=C))


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(attention(solution), text(), what="the output")


def test_it_works_in_half_precision(solution):
    assert_half_precision(attention(solution), text())


def test_it_moves_to_another_device(solution):
    assert_moves(attention(solution), text(), what="MultiHeadAttention")


# --- what a token gets, and from whom ------------------------------------------------------------


def test_a_single_token_gets_its_own_value_through_c_proj(solution):
    assert_single_token_gets_its_value(attention(solution), text(1))


def test_the_weights_of_a_token_sum_to_one(solution):
    assert_weights_sum_to_one(attention(solution), text())


def test_the_values_of_a_head_land_in_its_own_channels(solution):
    assert_heads_stay_in_their_channels(attention(solution), text(), H)


def test_every_token_sees_every_token(solution):
    assert_sees_every_token(
        attention(solution), text(),
        because="Nothing is masked in this problem, so the output of each token moves when any token does; "
        "the causal mask comes in problem 05.",
    )


def test_equal_scores_give_the_plain_average(solution):
    assert_equal_scores_average(attention(solution), text(), causal=False)


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    assert_score_scale(attention(solution), text(2), H)


def test_each_head_has_scores_of_its_own(solution):
    # Queries of head 0 alone are changed; the output channels of the others must not move.
    model, x = attention(solution), text()
    with torch.no_grad():
        model.c_proj.weight.copy_(torch.eye(C))
        before = model(x)
        model.c_attn.weight[:D] *= -1
        after = model(x)
    assert_close(
        after[..., D:], before[..., D:], "the output of heads 1 and up, after changing only head 0's queries,",
        because="Each head has queries, keys, a softmax and an output of its own, and sees nothing of the others.",
    )
    assert_true(
        bool((after[..., :D] != before[..., :D]).any()), "head 0's output ignores head 0's queries",
        because=f"Rows 0 to {D - 1} of c_attn make the queries of head 0, and these decide its weights.",
    )


def test_the_output_is_that_of_fused_attention(solution):
    assert_equals_torchs_attention(attention(solution), text(), H, causal=False)


def test_each_step_gives_what_the_reference_gives(solution, reference):
    mine, theirs = twins(solution.MultiHeadAttention, reference.MultiHeadAttention, CONFIG)
    assert_same_module(mine, theirs, text(), what="the output", because="The reference has the same parameters.")


@pytest.mark.parametrize("n_head", [1, 5, 15])
def test_any_number_of_heads_works(solution, reference, n_head):
    config = tiny(n_head=n_head)
    mine, theirs = twins(solution.MultiHeadAttention, reference.MultiHeadAttention, config)
    assert_same_module(
        mine, theirs, text(), what=f"the output with {n_head} heads",
        because=f"The config says how many heads there are, and D is {C} // n_head.",
    )


def test_large_scores_do_not_overflow(solution):
    assert_large_scores(attention(solution), text(), H, causal=False)


# --- learning ------------------------------------------------------------------------------------


def test_every_parameter_gets_a_gradient(solution):
    assert_every_head_learns(attention(solution), text())


def test_every_parameter_learns_with_dropout_too(solution):
    assert_learns_with_dropout(attention(solution, attn_pdrop=0.4, resid_pdrop=0.4), text())


def test_the_gradients_are_those_of_the_reference(solution, reference):
    mine, theirs = twins(solution.MultiHeadAttention, reference.MultiHeadAttention, CONFIG)
    assert_same_gradients(mine, theirs, text())


def test_rates_of_zero_drop_nothing(solution):
    model, x = attention(solution, attn_pdrop=0.0, resid_pdrop=0.0), text()
    quiet = model(x)
    assert_close(
        model.train()(x), quiet, "the output in train mode with all dropout rates at 0",
        because="Train mode switches on dropout and nothing else, at the rates of the config: at 0 nothing differs.",
    )


def test_attn_pdrop_leaves_what_comes_out_of_c_proj_alone(solution):
    assert_only_weights_are_dropped(attention(solution, attn_pdrop=0.4, resid_pdrop=0.0))


def test_attn_dropout_drops_attention_weights(solution):
    assert_attn_dropout(attention(solution, attn_pdrop=0.4, resid_pdrop=0.0), H, 0.4)


def test_resid_dropout_drops_the_output_of_c_proj(solution):
    assert_resid_dropout(attention(solution, attn_pdrop=0.0, resid_pdrop=0.4), 0.4)
