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
    fail,
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
    assert_resid_dropout,
    assert_score_scale,
    assert_single_token_gets_its_value,
)
from common.testing.causality import assert_causal, assert_sees_the_past

CONFIG = tiny()
B, T, C, H = 2, 7, CONFIG.n_embd, CONFIG.n_head
D = C // H
NO_DROPOUT = tiny(attn_pdrop=0.0, resid_pdrop=0.0)


# --- causal_mask ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seq_len", [1, 4, 7])
def test_the_mask_is_a_square_of_bools(solution, seq_len):
    mask = solution.causal_mask(seq_len)
    assert_shape(mask, (seq_len, seq_len), f"causal_mask({seq_len})")
    assert_equal(
        str(mask.dtype), "torch.bool", "the dtype of the mask",
        because="True and False say who may attend; ask for dtype=torch.bool, or compare (positions >= ...).",
    )  # fmt: skip


def test_a_token_may_attend_to_itself(solution):
    mask = solution.causal_mask(5)
    assert_true(
        bool(mask.diagonal().all()), "the diagonal of causal_mask(5) holds a False",
        because="mask[i, i] must be True: each token sees itself. Without it token 0 sees nothing at all.",
    )  # fmt: skip


def test_a_token_may_attend_to_everything_before_it(solution):
    mask = solution.causal_mask(5)
    below = mask[torch.ones(5, 5, dtype=torch.bool).tril(-1)]
    assert_true(
        bool(below.all()), "causal_mask(5) hides an earlier token",
        because="mask[i, j] is True where token i may attend to token j, so it is True for every j <= i: "
        "rows are queries, columns keys, True means visible.",
    )  # fmt: skip


def test_a_token_may_not_attend_to_a_later_one(solution):
    mask = solution.causal_mask(5)
    above = mask[torch.ones(5, 5, dtype=torch.bool).triu(1)]
    assert_true(
        not bool(above.any()), "causal_mask(5) shows a later token",
        because="mask[i, j] must be False for every j > i: the lower triangle is True, diagonal included.",
    )  # fmt: skip


def test_the_mask_is_made_on_the_device_that_was_asked_for(solution):
    assert_made_on_device(lambda device: solution.causal_mask(3, device=device), "causal_mask(3, device=device)")


# --- CausalSelfAttention: its parts --------------------------------------------------------------


def attention(solution, config=CONFIG):
    return fill(solution.CausalSelfAttention(config))


def test_the_layers_have_gpt2s_names_and_shapes(solution):
    assert_parameters(
        solution.CausalSelfAttention(CONFIG),
        {
            "c_attn.weight": (3 * C, C), "c_attn.bias": (3 * C,),
            "c_proj.weight": (C, C), "c_proj.bias": (C,),
        },
        "CausalSelfAttention",
    )  # fmt: skip


def test_the_state_dict_holds_what_was_learned_and_nothing_else(solution):
    keys = sorted(solution.CausalSelfAttention(CONFIG).state_dict())
    assert_equal(
        keys, ["c_attn.bias", "c_attn.weight", "c_proj.bias", "c_proj.weight"],
        "the list of state_dict keys",
        because="A mask is not learned, so it does not belong into a checkpoint: "
        "register_buffer(..., persistent=False), or make it in forward.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, 4, CONFIG.n_positions])
def test_the_output_has_the_shape_of_the_input(solution, length):
    x = draw("x", B, length, C)
    assert_shape(attention(solution)(x), (B, length, C), "the output")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(attention(solution), draw("x", B, T, C), what="the output")


def test_one_layer_takes_texts_of_any_length_by_turns(solution):
    model = attention(solution)
    for length in (4, 1, CONFIG.n_positions):
        x = draw("x", B, length, C)
        try:
            out = model(x)
        except NotImplementedError:
            raise
        except RuntimeError as error:
            observe("another length", "refused")
            fail(
                f"after a text of 4 tokens the same layer cannot take one of {length}:", expected="any length up to n_positions", got=str(error).splitlines()[0],
                because="Something of the first call's length is kept, such as its mask: make it for each call, or make it once for n_positions and cut it, mask[:T, :T].",
            )  # fmt: skip
        assert_close(out, attention(solution)(x), f"the output for {length} tokens, after other lengths,", because="Nothing of one call may reach the next.")


def test_a_single_token_gets_its_own_value_through_c_proj(solution):
    assert_single_token_gets_its_value(attention(solution), draw("x", B, 1, C))


# --- who sees whom -------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [2, 5, CONFIG.n_positions])
def test_changing_a_token_leaves_earlier_outputs_alone(solution, length):
    assert_causal(attention(solution), draw("x", B, length, C))


def test_rates_of_zero_drop_nothing(solution):
    model, x = attention(solution, NO_DROPOUT), draw("x", B, T, C)
    quiet = model(x)
    assert_close(
        model.train()(x), quiet, "the output in train mode with all dropout rates at 0",
        because="With attn_pdrop = resid_pdrop = 0 train and eval mode agree: a rate is hard-coded, or taken from another field.",
    )  # fmt: skip


def test_changing_a_token_leaves_earlier_outputs_alone_in_train_mode_too(solution):
    assert_causal(attention(solution, NO_DROPOUT).train(), draw("x", B, 5, C))


def test_no_output_is_nan(solution):
    out = attention(solution)(draw("x", B, T, C))
    assert_true(
        not bool(out.isnan().any()), f"the output is NaN for token {_first_nan(out)}",
        because="A row of scores that is -inf everywhere has a softmax of 0/0: that token sees nothing, not even itself.",
    )  # fmt: skip


def _first_nan(out):
    return int(out.isnan().any(-1).nonzero()[0, -1]) if out.isnan().any() else None


def test_each_token_sees_itself_and_all_before_it(solution):
    assert_sees_the_past(attention(solution), draw("x", B, T, C))


# --- weights, scale, heads -----------------------------------------------------------------------


def test_equal_scores_give_the_plain_average_of_what_is_visible(solution):
    assert_equal_scores_average(attention(solution), draw("x", B, T, C), causal=True)


def test_a_heads_values_land_in_that_heads_channels(solution):
    assert_heads_stay_in_their_channels(attention(solution), draw("x", B, T, C), H)


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    assert_score_scale(attention(solution), draw("x", B, 2, C), H)


def test_the_output_equals_torchs_own_attention(solution):
    assert_equals_torchs_attention(attention(solution), draw("x", B, T, C), H, causal=True)


def test_the_output_equals_the_references_step_by_step(solution, reference):
    mine, theirs = twins(solution.CausalSelfAttention, reference.CausalSelfAttention, CONFIG)
    assert_same_module(mine, theirs, draw("x", B, T, C), what="the output")


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


# --- manners -------------------------------------------------------------------------------------


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(attention(solution), draw("x", B, T, C), what="CausalSelfAttention")


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
    assert_moves(attention(solution), draw("x", B, T, C), what="CausalSelfAttention")
