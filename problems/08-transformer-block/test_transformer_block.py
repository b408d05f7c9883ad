"""Problem 08: what TransformerBlock promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_dropped,
    assert_equal,
    assert_gradients,
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
    has_forward,
    tiny,
    twins,
)
from common.testing.attention import (
    assert_equal_scores_average,
    assert_heads_stay_in_their_channels,
    assert_score_scale,
    assert_single_token_gets_its_value,
)
from common.testing.causality import assert_causal, assert_sees_the_past
from common.testing.feed_forward import assert_activation

CONFIG = tiny()
B, T, C, INNER = 2, 7, CONFIG.n_embd, CONFIG.n_inner
QUIET = tiny(attn_pdrop=0.0, resid_pdrop=0.0)


def block(solution, config=CONFIG):
    return fill(solution.TransformerBlock(config))


def silence(model, *names):
    """Set the output layers of these sublayers to zero, so that they contribute nothing."""
    with torch.no_grad():
        for name in names:
            model.get_submodule(name).c_proj.weight.zero_()
            model.get_submodule(name).c_proj.bias.zero_()
    return model


# --- its parts -----------------------------------------------------------------------------------


def test_the_parts_have_gpt2s_names_and_shapes(solution):
    assert_parameters(
        solution.TransformerBlock(CONFIG),
        {
            "ln_1.weight": (C,), "ln_1.bias": (C,),
            "attn.c_attn.weight": (3 * C, C), "attn.c_attn.bias": (3 * C,),
            "attn.c_proj.weight": (C, C), "attn.c_proj.bias": (C,),
            "ln_2.weight": (C,), "ln_2.bias": (C,),
            "mlp.c_fc.weight": (INNER, C), "mlp.c_fc.bias": (INNER,),
            "mlp.c_proj.weight": (C, INNER), "mlp.c_proj.bias": (C,),
        },
        "TransformerBlock", because="The parts are ln_1, attn, ln_2 and mlp, made from the config: the feed-forward layer is config.n_inner wide inside, and all have their biases.",
    )  # fmt: skip


def test_the_two_norms_are_two_layers(solution):
    model = solution.TransformerBlock(CONFIG)
    assert_true(
        model.ln_1.weight is not model.ln_2.weight, "ln_1 and ln_2 share their weights",
        because="Make two layers: each sublayer has a norm of its own, with 2C parameters.",
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, T, CONFIG.n_positions])
def test_the_output_has_the_shape_of_the_input(solution, length):
    assert_shape(block(solution)(draw("x", B, length, C)), (B, length, C), "the output")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(block(solution), draw("x", B, T, C), what="the output")


# --- the residual road ---------------------------------------------------------------------------


def test_with_both_sublayers_silent_the_input_comes_through_untouched(solution):
    model, x = silence(block(solution), "attn", "mlp"), 2 + draw("x", B, T, C)
    out = model(x)
    says = "With c_proj of both sublayers at zero nothing is added, so x must come out: x + attn(ln_1(x)), then x + mlp(ln_2(x))."
    if bool((out == 0).all()):
        says = "The output is zero: x is never added back around the sublayers. " + says
    elif torch.allclose(out, 2 * x, atol=1e-4) or torch.allclose(out, 4 * x, atol=1e-4):
        says = "The input is added more than once. " + says
    elif bool(out.mean(-1).abs().max() < 0.9) or torch.allclose(out, model.ln_1(x), atol=1e-4):
        says = "The output looks normalised: a norm stands on the residual path (post-norm), or ln_1(x) is what you add to. " + says
    assert_close(out, x, "the output when both sublayers give zeros", because=says)


def test_attention_adds_to_the_raw_input(solution):
    model, x = silence(block(solution), "mlp"), 2 + draw("x", B, T, C)
    if not has_forward(model.attn, model.ln_1):
        return  # layers without a forward of their own: only the whole can be compared
    assert_close(
        model(x), x + model.attn(model.ln_1(x)), "the output when mlp gives zeros",
        because="What is left is x + attn(ln_1(x)), with your own attn and ln_1: attention gets the normalised x, and its output is added to the raw one.",
    )  # fmt: skip


def test_the_feed_forward_layer_adds_to_what_it_reads(solution):
    model, x = silence(block(solution), "attn"), 2 + draw("x", B, T, C)
    if not has_forward(model.mlp, model.ln_2):
        return  # layers without a forward of their own: only the whole can be compared
    assert_close(
        model(x), x + model.mlp(model.ln_2(x)), "the output when attn gives zeros",
        because="What is left is x + mlp(ln_2(x)), with your own mlp and ln_2: it gets the normalised x, by its own norm, and its output is added to the raw one.",
    )  # fmt: skip


def test_attention_comes_first_and_feeds_the_feed_forward_layer(solution):
    model, x = block(solution), 2 + draw("x", B, T, C)
    if not has_forward(model.attn, model.mlp):
        return  # layers without a forward of their own: only the whole can be compared
    after = x + model.attn(model.ln_1(x))
    right = after + model.mlp(model.ln_2(after))
    out = model(x)
    swapped = x + model.mlp(model.ln_2(x))
    says = "x = x + attn(ln_1(x)), then x = x + mlp(ln_2(x)): the second line reads what the first one wrote."
    if torch.allclose(out, after + model.mlp(model.ln_2(x)), atol=1e-4):
        says = "Both sublayers read the input (in parallel). " + says
    elif torch.allclose(out, swapped + model.attn(model.ln_1(swapped)), atol=1e-4):
        says = "The feed-forward layer comes before attention. " + says
    assert_close(out, right, "the output", because=says)


# --- inside the parts ----------------------------------------------------------------------------


def test_with_rates_of_zero_train_mode_equals_eval_mode(solution):
    model, x = block(solution, QUIET), draw("x", B, T, C)
    quiet = model(x)
    assert_close(
        model.train()(x), quiet, "the output in train mode with all dropout rates at 0",
        because="Some dropout has a rate of its own. The block adds none; those of attn and mlp follow attn_pdrop and resid_pdrop.",
    )  # fmt: skip


def test_a_heads_values_land_in_that_heads_channels(solution):
    model = block(solution)
    if has_forward(model.attn):
        assert_heads_stay_in_their_channels(model.attn, draw("x", B, T, C), CONFIG.n_head)


@pytest.mark.parametrize("length", [2, 5, CONFIG.n_positions])
def test_changing_a_token_leaves_earlier_outputs_alone(solution, length):
    assert_causal(block(solution), draw("x", B, length, C))


def test_changing_a_token_leaves_earlier_outputs_alone_in_train_mode_too(solution):
    assert_causal(block(solution, QUIET).train(), draw("x", B, 5, C))


def test_each_token_sees_itself_and_all_before_it(solution):
    assert_sees_the_past(block(solution), draw("x", B, T, C))


def test_a_single_token_gets_its_own_value_through_c_proj(solution):
    model = block(solution)
    if has_forward(model.attn):
        assert_single_token_gets_its_value(model.attn, draw("x", B, 1, C))


def test_attention_averages_what_is_visible_when_all_scores_are_equal(solution):
    model = block(solution)
    if has_forward(model.attn):
        assert_equal_scores_average(model.attn, draw("x", B, T, C), causal=True)


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    model = block(solution)
    if has_forward(model.attn):
        assert_score_scale(model.attn, draw("x", B, 2, C), CONFIG.n_head)


def test_the_activation_of_the_feed_forward_layer_is_gelus_tanh_form(solution):
    model = block(solution)
    if has_forward(model.mlp):
        assert_activation(model.mlp, draw("x", B, T, C))


def parts(solution, reference):
    mine, theirs = twins(solution.TransformerBlock, reference.TransformerBlock, CONFIG)
    return mine, theirs, draw("x", B, T, C)


def test_ln_1_uses_the_epsilon_of_the_config(solution, reference):
    mine, theirs, x = parts(solution, reference)
    assert_close(
        mine.ln_1(0.1 * x), theirs.ln_1(0.1 * x), "ln_1 of a small input",
        because=f"ln_1 is a LayerNorm over n_embd with eps = config.layer_norm_epsilon ({CONFIG.layer_norm_epsilon} here): pass it on.",
    )  # fmt: skip


def test_ln_2_uses_the_epsilon_of_the_config(solution, reference):
    mine, theirs, x = parts(solution, reference)
    assert_close(
        mine.ln_2(0.1 * x), theirs.ln_2(0.1 * x), "ln_2 of a small input",
        because=f"ln_2 is a LayerNorm over n_embd with eps = config.layer_norm_epsilon ({CONFIG.layer_norm_epsilon} here): pass it on.",
    )  # fmt: skip


def test_attn_computes_what_problem_05_does(solution, reference):
    mine, theirs, x = parts(solution, reference)
    if not has_forward(mine.attn):
        return  # layers without a forward of their own: only the whole can be compared
    assert_same_module(
        mine.attn, theirs.attn, x, what="the output of `attn`",
        because="Causal attention with n_head heads, scores divided by sqrt(D), and c_proj: problem 05's.",
    )  # fmt: skip


def test_mlp_computes_what_problem_06_does(solution, reference):
    mine, theirs, x = parts(solution, reference)
    if not has_forward(mine.mlp):
        return  # layers without a forward of their own: only the whole can be compared
    assert_same_module(
        mine.mlp, theirs.mlp, x, what="the output of `mlp`",
        because="c_fc, GELU in its tanh form, c_proj: problem 06's. A difference around 1e-4 is the exact GELU.", atol=2e-6, rtol=2e-6,
    )  # fmt: skip


def test_the_output_equals_the_references_step_by_step(solution, reference):
    mine, theirs, x = parts(solution, reference)
    assert_same_module(mine, theirs, x, what="the output of the block")


# --- dropout -------------------------------------------------------------------------------------


def test_resid_dropout_acts_on_attentions_output_only(solution):
    model = silence(block(solution, tiny(attn_pdrop=0.0, resid_pdrop=0.4)), "attn", "mlp").train()
    with torch.no_grad():
        model.attn.c_proj.bias.fill_(3.0)
    x = draw("x", 40, T, C)
    assert_dropped(
        model(x).sub(x).round(decimals=4), 3.0, 0.4, "what attention adds",
        because="Inside attn, the output of c_proj goes through dropout with the rate resid_pdrop. The residual path itself is never dropped.",
    )  # fmt: skip


def test_resid_dropout_acts_on_the_feed_forward_output_only(solution):
    model = silence(block(solution, tiny(attn_pdrop=0.0, resid_pdrop=0.4)), "attn", "mlp").train()
    with torch.no_grad():
        model.mlp.c_proj.bias.fill_(3.0)
    x = draw("x", 40, T, C)
    assert_dropped(
        model(x).sub(x).round(decimals=4), 3.0, 0.4, "what the feed-forward layer adds",
        because="Inside mlp, the output of c_proj goes through dropout with the rate resid_pdrop. The residual path itself is never dropped.",
    )  # fmt: skip


def test_attn_dropout_acts_on_the_attention_weights(solution):
    # One token, whose value is 1 in every channel: attention adds its dropped weight.
    model = silence(block(solution, tiny(attn_pdrop=0.4, resid_pdrop=0.0)), "attn", "mlp").train()
    with torch.no_grad():
        model.attn.c_attn.weight[2 * C :] = 0
        model.attn.c_attn.bias[2 * C :] = 1
        model.attn.c_proj.weight.copy_(torch.eye(C))
    x = draw("x", 400, 1, C)
    assert_dropped(
        model(x).sub(x).round(decimals=4).view(400, CONFIG.n_head, -1)[..., 0], 1.0, 0.4, "the attention weights",
        because="Inside attn, the weights go through dropout with the rate attn_pdrop. The two rates may be swapped.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(block(solution), draw("x", B, T, C), what="TransformerBlock")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(block(solution), draw("x", B, T, C), what="the output", other=draw("y", B, T, C))


def test_a_batch_of_one_gives_the_same(solution):
    model, x = block(solution), draw("x", B, T, C)
    assert_close(model(x[:1]), model(x)[:1], "the output for a batch of one text")


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    model, x = block(solution), draw("x", B, T, C)
    strided = x.transpose(0, 1).contiguous().transpose(0, 1)
    assert_close(model(strided), model(x), "the output for a non-contiguous input", because="Use reshape where view asks for contiguous memory.")


def test_every_parameter_gets_a_gradient(solution):
    model = block(solution)
    (model(draw("x", B, T, C)) * draw("direction", B, T, C)).sum().backward()
    assert_gradients(model, "the output")


def test_several_blocks_do_not_share_weights(solution):
    first, second = solution.TransformerBlock(CONFIG), solution.TransformerBlock(CONFIG)
    shared = [n for n, p in first.named_parameters() if any(p is q for q in second.parameters())]
    assert_equal(shared, [], "the list of parameters that two blocks share", because="Make the parts in __init__, anew for each block; not once in the class or the module.")


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(block(solution), draw("x", B, T, C), what="the output")


def test_it_moves_to_another_device(solution):
    assert_moves(block(solution), draw("x", B, T, C), what="TransformerBlock")
