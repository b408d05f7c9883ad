"""Problem 05: what causal_mask and CausalSelfAttention promise, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, H n_head, D = C // H.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_made_on_device,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_same_module,
    assert_shape,
    assert_true,
    draw,
    fill,
    observe,
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
from common.testing.causality import assert_causal, assert_finite, assert_sees_the_past
from common.testing.comparisons import assert_layout_is_free, assert_same_gradients
from common.testing.dtypes import assert_half_precision

CONFIG = tiny()
B, T, C, H, N = 4, 7, CONFIG.n_embd, CONFIG.n_head, CONFIG.n_positions
NO_DROPOUT = {"attn_pdrop": 0.0, "resid_pdrop": 0.0}


# --- causal_mask ---------------------------------------------------------------------------------


def mask_of(solution, seq_len):
    """causal_mask(seq_len), seen whole by a diagnosis, whatever the check asks of it."""
    mask = solution.causal_mask(seq_len)
    assert_shape(
        mask, (seq_len, seq_len), f"causal_mask({seq_len})",
        because="It has a row for each token that looks, and a column for each that could be looked at.",
    )
    observe(f"causal_mask({seq_len})", mask)
    return mask


@pytest.mark.parametrize("seq_len", [1, 4, 7])
def test_the_mask_is_a_square_of_bools(solution, seq_len):
    assert_equal(
        str(mask_of(solution, seq_len).dtype), "torch.bool", "the dtype of the mask",
        because="Its entries say yes or no, and ~mask turns them around; of floats and ints ~ makes something else.",
    )


def test_the_mask_is_made_on_the_device_that_was_asked_for(solution):
    assert_made_on_device(lambda device: solution.causal_mask(3, device=device), "causal_mask(3, device=device)")


def test_a_token_may_attend_to_itself(solution):
    assert_true(
        bool(mask_of(solution, 5).diagonal().all()), "the diagonal of causal_mask(5) holds a False",
        because="Entry [i, i] is True: a token may look at itself, and token 0 has nothing else to look at.",
    )


def test_a_token_may_attend_to_everything_before_it(solution):
    before = torch.ones(5, 5, dtype=torch.bool).tril(-1)
    assert_true(
        bool(mask_of(solution, 5)[before].all()), "causal_mask(5) hides an earlier token",
        because="Entry [i, j] is True where token i may look at token j, so in row i every column j < i is True.",
    )


def test_a_token_may_not_attend_to_a_later_one(solution):
    after = torch.ones(5, 5, dtype=torch.bool).triu(1)
    assert_true(
        not bool(mask_of(solution, 5)[after].any()), "causal_mask(5) shows a later token",
        because="Entry [i, j] is True where token i may look at token j, so in row i every column j > i is False.",
    )


# --- CausalSelfAttention: what it is -------------------------------------------------------------


def attention(solution, **changes):
    return fill(solution.CausalSelfAttention(tiny(**changes)))


def text(length=T):
    return draw("x", B=B, T=length, C=C)


def test_the_layers_have_the_names_and_shapes_of_gpt2(solution):
    shapes = {"c_attn.weight": (3 * C, C), "c_attn.bias": (3 * C,), "c_proj.weight": (C, C), "c_proj.bias": (C,)}
    assert_parameters(solution.CausalSelfAttention(CONFIG), shapes, "CausalSelfAttention")


def test_the_state_dict_holds_what_was_learned_and_nothing_else(solution):
    assert_equal(
        sorted(solution.CausalSelfAttention(CONFIG).state_dict()),
        ["c_attn.bias", "c_attn.weight", "c_proj.bias", "c_proj.weight"],
        "the list of state_dict keys",
        because="Published weights have no other names, and a mask is not learned: it is made in forward, "
        "or kept with register_buffer(..., persistent=False).",
    )


@pytest.mark.parametrize("length", [1, 6, N])
def test_the_output_has_the_shape_of_the_input(solution, length):
    assert_shape(
        attention(solution)(text(length)), (B, length, C), "the output",
        because="Every token comes out with as many channels as it went in.",
    )


def test_every_output_is_a_number(solution):
    assert_finite(attention(solution), text())


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(attention(solution), text(), what="CausalSelfAttention")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(attention(solution), text(), what="the output")
    assert_weights_are_read(attention(solution), text(), what="the output")


@pytest.mark.parametrize("lengths", [(6, T), (N, 2), (1, 2)], ids=str)
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
    assert_moves(attention(solution), text(), what="CausalSelfAttention")


# --- what a token gets, and from whom ------------------------------------------------------------


def test_a_single_token_gets_its_own_value_through_c_proj(solution):
    assert_single_token_gets_its_value(attention(solution), text(1))


def test_the_weights_of_a_token_sum_to_one(solution):
    assert_weights_sum_to_one(attention(solution), text())


def test_the_values_of_a_head_land_in_its_own_channels(solution):
    assert_heads_stay_in_their_channels(attention(solution), text(), H)


@pytest.mark.parametrize("length", [2, 6, N])
def test_changing_a_token_leaves_earlier_outputs_alone(solution, length):
    assert_causal(attention(solution), text(length))


def test_rates_of_zero_drop_nothing(solution):
    model, x = attention(solution, **NO_DROPOUT), text()
    quiet = model(x)
    assert_close(
        model.train()(x), quiet, "the output in train mode with all dropout rates at 0",
        because="Train mode switches on dropout and nothing else, at the rates of the config: at 0 nothing differs.",
    )


def test_changing_a_token_leaves_earlier_outputs_alone_in_train_mode_too(solution):
    assert_causal(attention(solution, **NO_DROPOUT).train(), text(6))


def test_each_token_sees_itself_and_all_before_it(solution):
    assert_sees_the_past(attention(solution), text())


def test_equal_scores_give_the_plain_average_of_what_is_visible(solution):
    assert_equal_scores_average(attention(solution), text(), causal=True)


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    assert_score_scale(attention(solution), text(2), H)


def test_the_output_is_that_of_fused_attention(solution):
    assert_equals_torchs_attention(attention(solution), text(), H, causal=True)
    assert_equals_torchs_attention(attention(solution, n_positions=130), text(130), H, causal=True)


def test_each_step_gives_what_the_reference_gives(solution, reference):
    mine, theirs = twins(solution.CausalSelfAttention, reference.CausalSelfAttention, CONFIG)
    assert_same_module(mine, theirs, text(), what="the output", because="The reference has the same parameters.")


def test_large_scores_do_not_overflow(solution):
    assert_large_scores(attention(solution), text(), H, causal=True)


# --- learning ------------------------------------------------------------------------------------


def test_every_parameter_gets_a_gradient(solution):
    assert_every_head_learns(attention(solution), text())


def test_every_parameter_learns_with_dropout_too(solution):
    assert_learns_with_dropout(attention(solution, attn_pdrop=0.4, resid_pdrop=0.4), text())


def test_the_gradients_are_those_of_the_reference(solution, reference):
    mine, theirs = twins(solution.CausalSelfAttention, reference.CausalSelfAttention, CONFIG)
    assert_same_gradients(mine, theirs, text())


def test_attn_pdrop_leaves_what_comes_out_of_c_proj_alone(solution):
    assert_only_weights_are_dropped(attention(solution, attn_pdrop=0.4, resid_pdrop=0.0))


def test_attn_dropout_drops_attention_weights(solution):
    assert_attn_dropout(attention(solution, attn_pdrop=0.4, resid_pdrop=0.0), H, 0.4)


def test_resid_dropout_drops_the_output_of_c_proj(solution):
    assert_resid_dropout(attention(solution, attn_pdrop=0.0, resid_pdrop=0.4), 0.4)
