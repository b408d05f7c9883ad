"""Problem 08: what TransformerBlock promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, H n_head.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_dropped,
    assert_drops_anew,
    assert_gradients,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_norms_begin_plain,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_same_module,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fill,
    has_forward,
    observe,
    tiny,
    twins,
)
from common.testing.attention import (
    assert_equal_scores_average,
    assert_heads_stay_in_their_channels,
    assert_score_scale,
    assert_single_token_gets_its_value,
)
from common.testing.calls import assert_weights_are_read
from common.testing.causality import assert_causal, assert_finite, assert_sees_the_past
from common.testing.comparisons import assert_layout_is_free, assert_same_gradients
from common.testing.dtypes import assert_half_precision, assert_large_mean
from common.testing.feed_forward import GELU_ATOL, assert_activation

CONFIG = tiny()
B, T, C, H, N, INNER = 4, 7, CONFIG.n_embd, CONFIG.n_head, CONFIG.n_positions, CONFIG.n_inner
NO_DROPOUT = {"attn_pdrop": 0.0, "resid_pdrop": 0.0}


def block(solution, **changes):
    return fill(solution.TransformerBlock(tiny(**changes)))


def text(length=T):
    return draw("x", B=B, T=length, C=C)


def silence(model, *names):
    """Set the output layers of these sublayers to zero, so that they contribute nothing."""
    with torch.no_grad():
        for name in names:
            model.get_submodule(name).c_proj.weight.zero_()
            model.get_submodule(name).c_proj.bias.zero_()
    return model


# --- what it is ----------------------------------------------------------------------------------


def test_the_parts_have_the_names_and_shapes_of_gpt2(solution):
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
        "TransformerBlock",
        because="The parts are ln_1, attn, ln_2 and mlp, made from the config: the norms and attn are n_embd wide, "
        "mlp is config.n_inner wide inside, and all have their biases.",
    )


def test_the_two_norms_are_two_layers(solution):
    model = block(solution)
    before = model.ln_2.weight.detach().clone()
    model.ln_1.weight.detach().add_(1.0)
    assert_true(
        torch.equal(model.ln_2.weight, before), "ln_2.weight changes when ln_1.weight does",
        because="Each sublayer has a norm of its own, with 2C parameters.",
    )


def test_the_norms_begin_with_weight_1_and_bias_0(solution):
    assert_norms_begin_plain(solution.TransformerBlock(CONFIG), "ln_1", "ln_2")


def test_several_blocks_do_not_share_weights(solution):
    first, second = block(solution), solution.TransformerBlock(CONFIG)
    before = {name: p.detach().clone() for name, p in first.named_parameters()}
    with torch.no_grad():
        for p in second.parameters():
            p.add_(1.0)
    changed = [name for name, p in first.named_parameters() if not torch.equal(p, before[name])]
    assert_true(
        not changed, f"`{''.join(changed[:1])}` of one block changes when the weights of another block do",
        because="GPT-2 has twelve blocks that learn different things: the parts are made anew for each, in __init__.",
    )


@pytest.mark.parametrize("length", [1, T, N])
def test_the_output_has_the_shape_of_the_input(solution, length):
    assert_shape(
        block(solution)(text(length)), (B, length, C), "the output",
        because="Every token comes out with as many channels as it went in, so that blocks can be stacked.",
    )


def test_every_output_is_a_number(solution):
    assert_finite(block(solution), text())


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(block(solution), text(), what="TransformerBlock")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(block(solution), text(), what="the output")
    assert_weights_are_read(block(solution), text(), what="the output")


@pytest.mark.parametrize("lengths", [(6, T), (N, 2), (T, T)], ids=str)
def test_another_text_may_follow(solution, lengths):
    first, then = draw("an earlier text", B=B, T=lengths[0], C=C), text(lengths[1])
    alone, model = block(solution)(then), block(solution)
    model(first)
    assert_close(
        model(then), alone, f"the output for {lengths[1]} tokens, after another text of {lengths[0]},",
        because="A block that has read another text before answers like one that has not: nothing is kept.",
    )


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    assert_layout_is_free(block(solution), text(), what="the output for a non-contiguous input")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(block(solution), text(), what="the output", other=draw("y", B=B, T=T, C=C))


def test_a_batch_of_one_gives_the_same(solution):
    model, x = block(solution), text()
    because = "What a text gives does not depend on how many others are beside it."
    assert_close(model(x[:1]), model(x)[:1], "the output for the first text alone", because=because)


def test_a_large_mean_does_not_drown_the_differences(solution):
    assert_large_mean(block(solution), text())


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(block(solution), text(), what="the output")


def test_it_works_in_half_precision(solution):
    assert_keeps_dtype(block(solution), text(), what="the output", dtype=torch.bfloat16)
    assert_half_precision(fill(solution.TransformerBlock(CONFIG), gain=1.0), text())


def test_it_moves_to_another_device(solution):
    assert_moves(block(solution), text(), what="TransformerBlock")


@pytest.mark.parametrize("learned", [True, False], ids=["x learns", "x is given"])
def test_every_parameter_takes_part(solution, learned):
    model, x = block(solution, **NO_DROPOUT).train(), text().requires_grad_(learned)
    (assert_tensor(model(x), "the output") * draw("direction", B=B, T=T, C=C)).sum().backward()
    assert_gradients(model, "the output", again=lambda: model(text()))


# --- inside the parts ----------------------------------------------------------------------------
# A part without a forward of its own is no part to call: then only the whole can be compared, further down.


@pytest.mark.parametrize("name", ["ln_1", "ln_2"])
def test_the_norms_use_the_epsilon_of_the_config(solution, reference, name):
    mine, theirs = twins(solution.TransformerBlock, reference.TransformerBlock, CONFIG)
    norm, right = mine.get_submodule(name), theirs.get_submodule(name)
    if has_forward(norm):
        x = 0.1 * text()
        assert_close(
            norm(x), right(x), f"{name} of a small input",
            because=f"{name} is a LayerNorm over n_embd whose eps is config.layer_norm_epsilon, "
            f"{CONFIG.layer_norm_epsilon:g} here, which counts where the variance is as small.",
        )


def test_a_single_token_gets_its_own_value_through_c_proj(solution):
    model = block(solution)
    if has_forward(model.attn):
        assert_single_token_gets_its_value(model.attn, text(1))


def test_the_values_of_a_head_land_in_its_own_channels(solution):
    model = block(solution)
    if has_forward(model.attn):
        assert_heads_stay_in_their_channels(model.attn, text(), H)


@pytest.mark.parametrize("length", [2, 6])
def test_changing_a_token_leaves_earlier_outputs_alone(solution, length):
    assert_causal(block(solution), text(length))


def test_rates_of_zero_drop_nothing(solution):
    model, x = block(solution, **NO_DROPOUT), text()
    quiet = model(x)
    assert_close(
        model.train()(x), quiet, "the output in train mode with all dropout rates at 0",
        because="Dropout lives in attn and mlp and follows attn_pdrop and resid_pdrop; the block adds none, so at "
        "rates of 0 train mode and eval mode do not differ.",
    )


def test_changing_a_token_leaves_earlier_outputs_alone_in_train_mode_too(solution):
    assert_causal(block(solution, **NO_DROPOUT).train(), text(6))


def test_equal_scores_give_the_plain_average_of_what_is_visible(solution):
    model = block(solution)
    if has_forward(model.attn):
        assert_equal_scores_average(model.attn, text(), causal=True)


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    model = block(solution)
    if has_forward(model.attn):
        assert_score_scale(model.attn, text(2), H)


def test_attn_computes_what_problem_05_does(solution, reference):
    mine, theirs = twins(solution.TransformerBlock, reference.TransformerBlock, CONFIG)
    if has_forward(mine.attn):
        assert_same_module(
            mine.attn, theirs.attn, text(), what="the output of `attn`",
            because="attn is problem 05's causal attention with n_head heads, and nothing is added to what c_proj "
            "gives.",
        )


def test_the_activation_of_mlp_is_gelus_tanh_form(solution):
    model = block(solution)
    if has_forward(model.mlp):
        assert_activation(model.mlp, text())


def test_mlp_computes_what_problem_06_does(solution, reference):
    mine, theirs = twins(solution.TransformerBlock, reference.TransformerBlock, CONFIG)
    if has_forward(mine.mlp):
        assert_same_module(
            mine.mlp, theirs.mlp, text(), what="the output of `mlp`",
            because="mlp is problem 06's c_proj(gelu(c_fc(x))), and nothing is added to it.",
            atol=GELU_ATOL, rtol=GELU_ATOL,
        )


# --- the residual road ---------------------------------------------------------------------------


def test_with_both_sublayers_silent_the_input_comes_through_untouched(solution):
    model, x = silence(block(solution), "attn", "mlp"), 2 + text()
    assert_close(
        model(x.clone()), x, "the output when attn and mlp give zeros",
        because="Each sublayer adds to x, and nothing else stands on the way of x through the block, so when nothing "
        "is added x comes out as it went in.",
    )


def what_is_read(model, name, norm, x):
    """Whether a sublayer is given what its norm gives, in words; empty where it is not called as a module."""
    read = []
    hook = model.get_submodule(name).register_forward_pre_hook(lambda _, args: read.extend(args))
    with torch.no_grad():
        model(x)
        hook.remove()
        right = model.get_submodule(norm)(x)
    if not read or not isinstance(read[0], torch.Tensor) or read[0].shape != x.shape:
        return ""
    what = {"x itself": x, f"just what {norm}(x) is": right}
    found = next((text for text, value in what.items() if torch.allclose(read[0], value, 1e-4, 1e-4)), "")
    return f" Here {name} is given {found or f'neither {norm}(x) nor x, but other numbers'}."


def test_attention_adds_to_the_raw_input(solution):
    model, x = silence(block(solution), "mlp"), 2 + text()
    if has_forward(model.attn, model.ln_1):
        expected = x + model.attn(model.ln_1(x))
        assert_close(
            model(x), expected, "the output when mlp gives zeros",
            because="What is left is x + attn(ln_1(x)), with your own attn and ln_1: attention reads the normalised "
            f"x, and what it gives is added to the raw one.{what_is_read(model, 'attn', 'ln_1', x)}",
        )


def test_the_feed_forward_layer_adds_to_what_it_reads(solution):
    model, x = silence(block(solution), "attn"), 2 + text()
    if has_forward(model.mlp, model.ln_2):
        expected = x + model.mlp(model.ln_2(x))
        assert_close(
            model(x), expected, "the output when attn gives zeros",
            because="What is left is x + mlp(ln_2(x)), with your own mlp and ln_2: the feed-forward layer reads x "
            "through a norm of its own, and what it gives is added to the raw x."
            f"{what_is_read(model, 'mlp', 'ln_2', x)}",
        )


def test_the_feed_forward_layer_reads_what_attention_has_written(solution):
    model, x = block(solution), 2 + text()
    if has_forward(model.attn, model.mlp, model.ln_1, model.ln_2):
        after = x + model.attn(model.ln_1(x))
        expected = after + model.mlp(model.ln_2(after))
        assert_close(
            model(x), expected, "the output",
            because="x becomes x + attn(ln_1(x)), and that x becomes x + mlp(ln_2(x)), one after the other and with "
            "your own parts: the second step reads what the first one wrote.",
        )


def test_each_token_sees_itself_and_all_before_it(solution):
    assert_sees_the_past(block(solution), text(5))


def test_each_step_gives_what_the_reference_gives(solution, reference):
    mine, theirs = twins(solution.TransformerBlock, reference.TransformerBlock, CONFIG)
    assert_same_module(mine, theirs, text(), what="the output", because="The reference has the same parameters.")


# --- learning ------------------------------------------------------------------------------------


def test_the_gradients_are_those_of_the_reference(solution, reference):
    mine, theirs = twins(solution.TransformerBlock, reference.TransformerBlock, CONFIG)
    assert_same_gradients(mine, theirs, text())


def added(solution, name, x, **rates):
    """What the sublayer `name` adds to x in train mode, its c_proj giving 1 to C and the other sublayer zeros."""
    model = silence(block(solution, **rates), "attn", "mlp").train()
    with torch.no_grad():
        model.get_submodule(name).c_proj.bias.copy_(torch.arange(1.0, C + 1))
        return (assert_tensor(model(x), "the output") - x).round(decimals=4)


def test_attn_pdrop_leaves_what_comes_out_of_c_proj_alone(solution):
    x = text()
    out = added(solution, "attn", x, attn_pdrop=0.4, resid_pdrop=0.0)
    observe("levels of what attn adds", [round(v, 3) for v in out.unique().tolist()[:9]])
    assert_close(
        out, torch.arange(1.0, C + 1, device=x.device).expand(B, T, C),
        "what attn adds in train mode when c_proj gives its bias alone and resid_pdrop is 0",
        because="attn_pdrop is the rate at which attention weights are dropped; what comes out of c_proj is dropped "
        "at the rate resid_pdrop alone, and the sum never.",
        atol=1e-3, record=False,
    )


def share_of_zeros(value):
    return float((value == 0).float().mean())


@pytest.mark.parametrize("name", ["attn", "mlp"])
def test_resid_dropout_drops_what_a_sublayer_adds(solution, name):
    x = draw("x", 40, T, C)
    model = block(solution, attn_pdrop=0.2, resid_pdrop=0.4).train()
    out = added(solution, name, x, attn_pdrop=0.2, resid_pdrop=0.4)
    says = f"Inside {name} the output of c_proj goes through dropout once, with the rate resid_pdrop; x and the sum "
    says += "are never dropped."
    sublayer = model.get_submodule(name)
    if share_of_zeros(out) > 0.44 and hasattr(sublayer, "c_proj") and abs(share_of_zeros(sublayer(x)) - 0.4) < 0.04:
        says += f" Called by itself `{name}` does so: the rest is dropped by the block, which drops nothing itself."
    assert_dropped(out, torch.arange(1.0, C + 1, device=x.device), 0.4, f"what {name} adds", because=says)
    assert_drops_anew(block(solution, resid_pdrop=0.4).train(), x, what="the output")


def test_attn_dropout_drops_attention_weights(solution):
    # One token, whose value is 1 in every channel: attention adds its dropped weight, times 1 to C.
    model = silence(block(solution, attn_pdrop=0.4, resid_pdrop=0.0), "attn", "mlp").train()
    numbered, x = torch.arange(1.0, C + 1), draw("x", 400, 1, C)
    with torch.no_grad():
        model.attn.c_attn.weight[2 * C :] = 0
        model.attn.c_attn.bias[2 * C :] = 1
        model.attn.c_proj.weight.copy_(torch.diag(numbered))
        dropped = (assert_tensor(model(x), "the output") - x).round(decimals=4).view(400, H, -1)
    assert_dropped(
        dropped[..., 0], numbered.to(x.device).view(H, -1)[:, 0], 0.4, "what a head adds to its first channel",
        because="Inside attn the weights go through dropout with the rate attn_pdrop, after the softmax. A single "
        "token has one weight in each head, and when it is dropped the head adds nothing.",
    )
