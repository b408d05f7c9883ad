"""Problem 10, part 2: what happens inside GPT2Model, and what it learns from, from cause to consequence.

Shapes: B batch, T tokens, C n_embd, V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_dropped,
    assert_equal,
    assert_gradients,
    assert_norms_begin_plain,
    assert_same_module,
    draw,
    draw_ids,
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
B, T = 2, 4
C, V, N, H = CONFIG.n_embd, CONFIG.vocab_size, CONFIG.n_positions, CONFIG.n_head
NO_DROPOUT = {"embd_pdrop": 0.0, "attn_pdrop": 0.0, "resid_pdrop": 0.0}
ATOL = 3e-5  # logits are of size 20: ten times float32's rounding


def config_of(solution, **changes):
    return tiny(solution.GPT2Config, **changes)


def gpt2(solution, n_layer=1, **changes):
    """The model with its numbers set; of one layer, which is quick, unless several are the point."""
    return fill(solution.GPT2Model(config_of(solution, n_layer=n_layer, **changes)))


def pair(solution, reference, **changes):
    return twins(solution.GPT2Model, reference.GPT2Model, config_of(solution, **changes))


def text(length=T):
    return draw_ids("ids", B=B, T=length)


# --- inside a block ------------------------------------------------------------------------------


def silence(model):
    """Let no block add anything."""
    with torch.no_grad():
        for block in model.h:
            for sublayer in (block.attn, block.mlp):
                sublayer.c_proj.weight.zero_()
                sublayer.c_proj.bias.zero_()
    return model


def parts(solution, name, **changes):
    """A block's part of that name, in a list; none where more than x is handed to it, which is free."""
    block = gpt2(solution, **changes).h[0]
    part = block.get_submodule(name) if name else block
    return [part] if has_forward(part) else []


def added_by_blocks(model, ids):
    """What each block that is called adds to the vectors it is given, while the model reads ids."""
    given, added = {}, []

    def before(block, args):
        if args:
            given[block] = args[0].detach().clone()

    def after(block, _, out):
        if block in given:
            added.append((out[0] if isinstance(out, tuple) else out).sub(given[block]).round(decimals=4))

    for block in model.h:
        block.register_forward_pre_hook(before)
        block.register_forward_hook(after)
    model(ids)
    return added


def vectors(length=T):
    return draw("x", B=B, T=length, C=C)


def test_a_block_whose_sublayers_are_silent_returns_its_input(solution):
    model, x = silence(gpt2(solution)), 2 + vectors()
    for block in filter(has_forward, model.h):
        assert_close(
            block(x), x.clone(), "the output of a block when both its sublayers give zeros",
            because="A block is x + attn(ln_1(x)), then x + mlp(ln_2(x)): where both add zeros, x comes through as it "
            "is.",
        )


def test_the_norms_begin_with_weight_1_and_bias_0(solution):
    model = solution.GPT2Model(config_of(solution, n_layer=1))
    assert_norms_begin_plain(model, "h.0.ln_1", "h.0.ln_2", "ln_f")


@pytest.mark.parametrize("name", ["ln_1", "ln_2"])
def test_the_norms_inside_the_blocks_use_the_configs_epsilon(solution, name):
    x = 0.05 * vectors()  # so small that epsilon decides
    for norm in parts(solution, name):
        assert_close(
            norm(x), F.layer_norm(x, (C,), norm.weight, norm.bias, CONFIG.layer_norm_epsilon), f"h.0.{name} of a small "
                "input",
            because="Every norm of the model has eps = config.layer_norm_epsilon.",
        )


def test_a_single_token_gets_its_own_value_through_c_proj(solution):
    for attn in parts(solution, "attn"):
        assert_single_token_gets_its_value(attn, vectors(1))


def test_a_heads_values_land_in_that_heads_channels(solution):
    for attn in parts(solution, "attn"):
        assert_heads_stay_in_their_channels(attn, vectors(), H)


@pytest.mark.parametrize("length", [2, 6])
def test_changing_a_token_leaves_earlier_logits_alone(solution, length):
    assert_causal(gpt2(solution), text(length))


def test_with_rates_of_zero_train_mode_equals_eval_mode(solution):
    model, ids = gpt2(solution, **NO_DROPOUT), text()
    quiet = model(ids)
    assert_close(
        model.train()(ids), quiet, "the logits in train mode with all dropout rates at 0",
        because="Train mode switches on dropout and nothing else, and all rates are the config's: at 0 nothing "
        "differs.",
    )


def test_changing_a_token_leaves_earlier_logits_alone_in_train_mode_too(solution):
    assert_causal(gpt2(solution, **NO_DROPOUT).train(), text(3))


def test_each_token_sees_itself_and_all_before_it(solution):
    assert_sees_the_past(gpt2(solution), text())


def test_attention_averages_what_is_visible_when_all_scores_are_equal(solution):
    for attn in parts(solution, "attn"):
        assert_equal_scores_average(attn, vectors(), causal=True)


def test_scores_are_scaled_by_the_root_of_the_head_size(solution):
    for attn in parts(solution, "attn"):
        assert_score_scale(attn, vectors(2), H)


def test_the_activation_of_the_feed_forward_layer_is_gelus_tanh_form(solution):
    for mlp in parts(solution, "mlp"):
        assert_activation(mlp, vectors())


def test_the_first_block_computes_what_problem_08_does(solution, reference):
    mine, theirs = (model.h[0] for model in pair(solution, reference, n_layer=1))
    if has_forward(mine):
        assert_same_module(
            mine, theirs, vectors(), what="the output of `h.0`", atol=1e-5, rtol=1e-5,
            because="A block is x + attn(ln_1(x)), then x + mlp(ln_2(x)): causal attention of n_head heads, GELU in "
            "its tanh form, every size and rate from the config.",
        )


# --- the whole -----------------------------------------------------------------------------------


def test_the_logits_equal_the_references_step_by_step(solution, reference):
    assert_same_module(
        *pair(solution, reference), text(), what="the logits", atol=ATOL,
        because="The reference has the same parameters under the same names.",
    )


def test_a_text_may_fill_all_positions(solution, reference):
    assert_same_module(
        *pair(solution, reference), text(N), what=f"the logits of a text of n_positions = {N} tokens", atol=ATOL,
        because="A text of exactly n_positions tokens is read like a shorter one.",
    )


def test_a_longer_text_leaves_the_earlier_logits_alone(solution):
    model, ids = gpt2(solution), text(N)
    assert_close(
        model(ids)[:, :4], model(ids[:, :4]), "the logits of the first 4 tokens, with 7 more after them,",
        because="Positions count from the beginning of a text, and nothing at one of them depends on the text's "
        "length.",
        atol=ATOL,
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"n_layer": 1, "n_head": 5},
        {"n_layer": 3, "n_inner": 7},
        {"n_layer": 1, "n_inner": None, "layer_norm_epsilon": 1e-5},
    ],
    ids=str,
)
def test_the_logits_follow_the_config(solution, reference, changes):
    named = ", ".join(f"{field}={value}" for field, value in changes.items())
    assert_same_module(
        *pair(solution, reference, **changes), text(3), what=f"the logits with {named}", atol=ATOL,
        because="Every size is taken from the config.",
    )


# --- dropout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["attn", "mlp"])
def test_resid_dropout_reaches_the_blocks(solution, name):
    model = silence(gpt2(solution, embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.4)).train()
    with torch.no_grad():
        model.h[0].get_submodule(name).c_proj.bias.fill_(3.0)
    for added in added_by_blocks(model, draw_ids("ids", 40, T)):
        assert_dropped(
            added, 3.0, 0.4, f"what {name} of a block adds",
            because="Inside a block the outputs of attn and mlp are dropped with the rate resid_pdrop.",
        )


def test_attn_dropout_reaches_the_blocks(solution):
    model = silence(gpt2(solution, embd_pdrop=0.0, attn_pdrop=0.4, resid_pdrop=0.0)).train()
    attn = model.h[0].attn
    with torch.no_grad():
        attn.c_attn.weight[2 * C :] = 0
        attn.c_attn.bias[2 * C :] = 1
        attn.c_proj.weight.copy_(torch.eye(C))
    for added in added_by_blocks(model, draw_ids("ids", 300, 1)):
        assert_dropped(
            added[..., 0], 1.0, 0.4, "the attention weights of a block",
            because="Inside a block the attention weights are dropped with the rate attn_pdrop: it is 0.4 here, and "
            "the other rates are 0. F.scaled_dot_product_attention wants it as dropout_p, in train mode.",
        )


def test_attn_pdrop_leaves_what_comes_out_of_c_proj_alone(solution):
    model = silence(gpt2(solution, embd_pdrop=0.0, attn_pdrop=0.4, resid_pdrop=0.0)).train()
    with torch.no_grad():
        model.h[0].attn.c_proj.bias.fill_(1.0)
        model.h[0].mlp.c_proj.bias.fill_(1.0)
    for added in added_by_blocks(model, draw_ids("ids", 3, T)):
        assert_close(
            added, torch.full_like(added, 2.0),
            "what a block adds in train mode when both c_proj give their bias of 1 alone and resid_pdrop is 0",
            because="attn_pdrop is the rate of the attention weights; what comes out of a c_proj has resid_pdrop.",
        )


# --- learning ------------------------------------------------------------------------------------


def learn(model):
    """The model after a backward pass through all its logits; the ids hold the first token and the last."""
    ids = text()
    ids[0, 0] = 0
    (model(ids) * draw("direction", B, T, V)).sum().backward()
    return model


def test_every_parameter_gets_a_gradient(solution):
    model = learn(gpt2(solution))
    assert_gradients(model, "the logits", again=lambda: model(text()))


def test_the_token_table_learns_from_both_its_uses(solution):
    grad = learn(gpt2(solution)).wte.weight.grad
    idle = [] if grad is None else (grad == 0).all(-1).nonzero().flatten().tolist()
    assert_equal(
        idle, [], "the list of tokens whose row of wte gets no gradient",
        because="As the output layer wte scores every token, so every row learns at every step, in the text or not.",
    )


def test_the_gradients_are_those_of_the_reference(solution, reference):
    mine, theirs = (dict(learn(m).named_parameters(remove_duplicate=False)) for m in pair(solution, reference))
    for name in theirs:
        assert_close(
            mine[name].grad, theirs[name].grad, f"the gradient of `{name}`", atol=1e-3, rtol=1e-3,
            because="Learning goes the way back through every step, and wte learns as input and as output, from every "
            "place of a token: detach(), .data, torch.no_grad(), a second matrix or an option of nn.Embedding such "
            "as scale_grad_by_freq can take a part away.",
        )


@pytest.mark.slow
def test_gpt2_small_has_its_124_million_parameters(solution):
    with torch.device("meta"):
        model = solution.GPT2Model(solution.GPT2Config.gpt2_small())
    assert_equal(
        sum(p.numel() for p in model.parameters()), 124_439_808, "the number of parameters of GPT-2 small",
        because="With the tied matrix counted once, and all biases, it is 124,439,808.",
    )
