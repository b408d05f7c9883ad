"""Problem 06: what gelu and FeedForward promise, from cause to consequence.

Shapes: B batch, T tokens, C n_embd.
"""

import pytest
import torch
import torch.nn.functional as F

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
    assert_tensor,
    assert_true,
    draw,
    fill,
    tiny,
    twins,
)
from common.testing.feed_forward import assert_activation

CONFIG = tiny()
B, T, C, INNER = 2, 7, CONFIG.n_embd, CONFIG.n_inner


# --- gelu ----------------------------------------------------------------------------------------


def at(*values):
    return torch.tensor(values, device=draw("d", 1).device)


@pytest.mark.parametrize("shape", [(), (5,), (B, T, C)], ids=str)
def test_gelu_keeps_the_shape(solution, shape):
    assert_shape(solution.gelu(draw("x", *shape)), shape, f"gelu of a tensor of shape {shape}")


def test_gelu_leaves_its_input_alone(solution):
    assert_input_untouched(solution.gelu, draw("x", B, T, C), what="gelu")


def test_gelu_of_zero_is_zero(solution):
    assert_close(solution.gelu(at(0.0)), at(0.0), "gelu(0)", because="Everything is multiplied by x, so 0 gives 0.")


def test_gelu_leaves_large_numbers_and_drops_large_negative_ones(solution):
    assert_close(
        solution.gelu(at(20.0, 10.0)), at(20.0, 10.0), "gelu of 20 and 10",
        because="For a large x, tanh is 1 and 0.5 * x * (1 + 1) is x: look for a missing 0.5, or a 1 inside the tanh.",
    )  # fmt: skip
    assert_close(
        solution.gelu(at(-20.0, -10.0)), at(0.0, 0.0), "gelu of -20 and -10",
        because="For a very negative x, tanh is -1 and 1 + tanh is 0. x squared instead of cubed, or the 1 inside the tanh, breaks that.",
    )  # fmt: skip


def test_gelu_dips_below_zero_and_comes_back(solution):
    x = torch.linspace(-5, 0, 501, device=draw("d", 1).device)
    lowest = assert_tensor(solution.gelu(x), "gelu").min()
    assert_close(
        lowest, at(-0.170041).squeeze(), "the lowest value of gelu", atol=1e-4,  # the grid of 0.01 misses the minimum by 4e-6
        because="GELU has its minimum of -0.17 at x = -0.75. ReLU never goes below 0, SiLU goes down to -0.28, and x * sigmoid(1.702 x) to -0.164. If it is none of these, check the factor sqrt(2/pi) = 0.7979 and the constant 0.044715.",
    )  # fmt: skip


def test_gelu_equals_torchs_tanh_form(solution):
    x = torch.linspace(-6, 6, 1201, device=draw("d", 1).device)
    mine, expected = solution.gelu(x), F.gelu(x, approximate="tanh")
    exact = F.gelu(x)
    known = {
        "This is the exact GELU, with erf. GPT-2 was trained with the tanh approximation; they differ by up to 4.7e-4, which real weights notice.": exact,
        "This is x * sigmoid(1.702 x), a coarser approximation. GPT-2's is 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).": x * torch.sigmoid(1.702 * x),
        "This is SiLU, x * sigmoid(x).": x * torch.sigmoid(x),
        "This is ReLU.": x.relu(),
        "The cubic term is missing: x + 0.044715 x^3 goes into the tanh.": 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * x)),
        "The root is missing: the factor is sqrt(2/pi), 0.7979, not 2/pi, 0.6366.": 0.5 * x * (1 + torch.tanh(2 / torch.pi * (x + 0.044715 * x**3))),
        "The factor sqrt(2/pi) has to multiply the cubic term as well: put x + 0.044715 x^3 in parentheses.": 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * x + 0.044715 * x**3)),
    }
    says = next((s for s, y in known.items() if assert_tensor(mine, "gelu").shape == y.shape and torch.allclose(mine, y, atol=2e-6)), "")
    assert_close(
        mine, expected, "gelu between -6 and 6", atol=2e-6,  # measured against float64: 5e-7; the exact GELU is 4.7e-4 away
        because=says or "0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): check the constants, the power and the parentheses.",
    )  # fmt: skip


def test_gelu_passes_the_gradient(solution):
    x = torch.linspace(-3, 3, 61, device=draw("d", 1).device)
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    solution.gelu(mine).sum().backward()
    F.gelu(theirs, approximate="tanh").sum().backward()
    assert_true(mine.grad is not None, "no gradient reaches x through gelu", because="Use tensor operations only: math.tanh, .item() and detach() cut the graph.")
    assert_close(mine.grad, theirs.grad, "the gradient of gelu", because="It equals that of F.gelu(x, approximate='tanh').")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_gelu_keeps_the_dtype(solution, dtype):
    out = solution.gelu(draw("x", 5).to(dtype))
    assert_equal(str(out.dtype), str(dtype), f"the dtype of gelu for x in {dtype}", because="Answer in the type that was given.")


# --- FeedForward ---------------------------------------------------------------------------------


def feed_forward(solution, config=CONFIG):
    return fill(solution.FeedForward(config))


def test_the_layers_have_gpt2s_names_and_shapes(solution):
    assert_parameters(
        solution.FeedForward(CONFIG),
        {
            "c_fc.weight": (INNER, C), "c_fc.bias": (INNER,),
            "c_proj.weight": (C, INNER), "c_proj.bias": (C,),
        },
        "FeedForward",
        because=f"c_fc goes from n_embd = {C} to n_inner = {INNER} channels and c_proj back; the config has filled n_inner in, so take it as it is.",
    )  # fmt: skip


def test_n_inner_of_none_is_four_times_the_width(solution):
    model = solution.FeedForward(tiny(n_inner=None))
    assert_shape(model.c_fc.weight, (4 * C, C), "c_fc.weight when n_inner was not given", because="The config turns None into 4 * n_embd by itself: use config.n_inner.")


@pytest.mark.parametrize("length", [1, T])
def test_the_output_has_the_shape_of_the_input(solution, length):
    assert_shape(feed_forward(solution)(draw("x", B, length, C)), (B, length, C), "the output")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(feed_forward(solution), draw("x", B, T, C), what="the output")


def test_with_c_fc_of_zero_only_the_bias_of_c_proj_is_left(solution):
    model = feed_forward(solution)
    with torch.no_grad():
        model.c_fc.weight.zero_()
        model.c_fc.bias.zero_()
    out = model(draw("x", B, T, C))
    assert_close(
        out, model.c_proj.bias.expand(B, T, C), "the output when c_fc gives zeros",
        because="gelu(0) is 0, so c_proj gets zeros and adds its bias; nothing follows but dropout. An activation after c_proj, or the input added to the output, shows here.",
    )  # fmt: skip


def test_the_activation_stands_between_the_two_layers(solution):
    assert_activation(feed_forward(solution), draw("x", B, T, C))


def test_the_output_may_be_far_below_zero(solution):
    model, x = feed_forward(solution), draw("x", B, T, C)
    with torch.no_grad():
        model.c_proj.bias.fill_(-5.0)
    assert_true(
        bool(model(x).mean() < -2), "the output never goes far below zero, though c_proj's bias is -5",
        because="An activation follows c_proj and cuts negative numbers off. It stands between the two layers.",
    )  # fmt: skip


def test_the_output_equals_the_formula(solution):
    model, x = feed_forward(solution), draw("x", B, T, C)
    inner = F.gelu(F.linear(x, model.c_fc.weight, model.c_fc.bias), approximate="tanh")
    assert_close(
        model(x), F.linear(inner, model.c_proj.weight, model.c_proj.bias), "the output",
        because="It is c_proj(gelu(c_fc(x))), without a norm or a residual connection: those come later.",
    )  # fmt: skip


def test_the_output_equals_the_references_step_by_step(solution, reference):
    mine, theirs = twins(solution.FeedForward, reference.FeedForward, CONFIG)
    assert_same_module(mine, theirs, draw("x", B, T, C), what="the output")


def test_each_token_is_treated_alone(solution):
    model, x = feed_forward(solution), draw("x", B, T, C)
    changed = x.clone()
    changed[:, 3] = draw("y", B, C)
    others = [0, 1, 2, 4, 5, 6]
    assert_close(
        model(changed)[:, others], model(x)[:, others], "the output of the other tokens, after changing only token 3,",
        because="The feed-forward layer never mixes tokens; only attention does.",
    )  # fmt: skip


# --- dropout -------------------------------------------------------------------------------------


def test_dropout_is_the_last_step(solution):
    model = feed_forward(solution, tiny(resid_pdrop=0.4)).train()
    with torch.no_grad():
        model.c_proj.weight.zero_()
        model.c_proj.bias.fill_(2.0)
    assert_dropped(
        model(draw("x", 40, T, C)), 2.0, 0.4, "the output",
        because="Dropout with the rate resid_pdrop comes after c_proj: a dropped value of the output is exactly 0.",
    )  # fmt: skip


def test_nothing_is_dropped_inside(solution):
    # With one inner channel the output tells whether that channel was dropped.
    model = feed_forward(solution, tiny(n_inner=1, resid_pdrop=0.4)).train()
    with torch.no_grad():
        model.c_proj.weight.fill_(1.0)
        model.c_proj.bias.fill_(1.0)
        model.c_fc.weight.zero_()
        model.c_fc.bias.fill_(20.0)
    out = model(draw("x", 40, T, C))
    assert_dropped(
        out, 21.0, 0.4, "the output",
        because="Only the output is dropped: a second dropout, between the two layers, is no part of GPT-2.",
    )  # fmt: skip


def test_a_rate_of_zero_drops_nothing(solution):
    model, x = feed_forward(solution, tiny(resid_pdrop=0.0)), draw("x", B, T, C)
    quiet = model(x)
    assert_close(
        model.train()(x), quiet, "the output in train mode with resid_pdrop = 0",
        because="With a rate of 0 train and eval mode agree: the rate is hard-coded or taken from another field.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(feed_forward(solution), draw("x", B, T, C), what="FeedForward")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(feed_forward(solution), draw("x", B, T, C), what="the output", other=draw("y", B, T, C))


def test_every_parameter_gets_a_gradient(solution):
    model = feed_forward(solution)
    model(draw("x", B, T, C)).sum().backward()
    assert_gradients(model, "the output")


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(feed_forward(solution), draw("x", B, T, C), what="the output")


def test_it_moves_to_another_device(solution):
    assert_moves(feed_forward(solution), draw("x", B, T, C), what="FeedForward")
