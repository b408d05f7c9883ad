"""Problem 06: what gelu and FeedForward promise, from cause to consequence.

Shapes: B batch, T tokens, C n_embd.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_dropped,
    assert_drops_anew,
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
from common.testing.calls import OUTLIVES, assert_nothing_is_kept, assert_weights_are_read
from common.testing.causality import assert_finite
from common.testing.comparisons import (
    assert_gradients_of,
    assert_layout_is_free,
    assert_same_gradients,
)
from common.testing.dtypes import assert_half_precision
from common.testing.feed_forward import GELU_ATOL, assert_activation

CONFIG = tiny()
B, T, C, INNER = 4, 7, CONFIG.n_embd, CONFIG.n_inner


# --- gelu ----------------------------------------------------------------------------------------


def between(low, high, count):
    return torch.linspace(low, high, count, device=draw("d", 1).device)


def at(*values):
    return torch.tensor(values, device=draw("d", 1).device)


def curve(x):
    return F.gelu(x, approximate="tanh")


@pytest.mark.parametrize("shape", [(), (6,), (B, T, C)], ids=str)
def test_gelu_keeps_the_shape(solution, shape):
    assert_shape(
        solution.gelu(draw("x", *shape)), shape, f"gelu of a tensor of shape {shape}",
        because="Each number is bent by itself, so there are as many as before, in the same places. A constant with an "
        "axis of its own, such as torch.tensor([0.8]), adds that axis; a plain number of Python has none.",
    )


def test_gelu_leaves_its_input_alone(solution):
    assert_input_untouched(solution.gelu, draw("x", B=B, T=T, C=C), what="gelu")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_gelu_keeps_the_dtype(solution, dtype):
    out = assert_tensor(solution.gelu(draw("x", 6).to(dtype)), "gelu")
    assert_equal(
        str(out.dtype), str(dtype), f"the dtype of gelu for x in {dtype}",
        because="The answer has the type of x; a tensor of another type, or a cast, changes it.",
    )


def test_gelu_keeps_nothing_from_call_to_call(solution):
    x = draw("x", 6)
    right = curve if torch.allclose(solution.gelu(x), curve(x), atol=1e-4) else lambda x: solution.gelu(x.clone())
    x += 1
    assert_close(
        solution.gelu(x), right(x), "gelu of a tensor whose numbers have changed since the call before",
        because=f"Each call looks at the numbers that it is given. {OUTLIVES}",
    )


def test_gelu_of_zero_is_zero(solution):
    assert_close(solution.gelu(at(0.0)), at(0.0), "gelu(0)", because="The formula begins with 0.5 * x, so 0 gives 0.")


def test_gelu_has_a_value_for_every_number(solution):
    out = assert_tensor(solution.gelu(at(30.0, -30.0, 100.0, -100.0)), "gelu")
    assert_true(
        bool(out.isfinite().all()), "gelu of 30, -30, 100 or -100 is NaN or infinite",
        because="No x is too large for the formula. exp of a number above 88 is infinite in float32, "
        "and inf / inf is NaN; torch.tanh stays between -1 and 1.",
    )


def test_the_gradient_of_gelu_is_a_number_for_every_number(solution):
    assert_gradients_of(
        solution.gelu, curve, {"x": at(15.0, -15.0, 100.0, -100.0)},
        because="At 15, -15, 100 and -100 gelu is x or 0, a straight line with the slope 1 or 0; torch.tanh has no "
        "limit, while exp is infinite above 88.",
    )


def test_gelu_leaves_large_numbers_as_they_are(solution):
    assert_close(
        solution.gelu(at(20.0, 10.0)), at(20.0, 10.0), "gelu of 20 and 10",
        because="For a large x the tanh is 1, and 0.5 * x * (1 + 1) is x.",
    )


def test_gelu_drops_large_negative_numbers(solution):
    assert_close(
        solution.gelu(at(-20.0, -10.0)), at(0.0, 0.0), "gelu of -20 and -10",
        because="For a very negative x the tanh is -1, and 0.5 * x * (1 - 1) is 0.",
    )


def test_gelu_dips_below_zero_and_comes_back(solution):
    lowest = assert_tensor(solution.gelu(between(-5, 0, 501)), "gelu").min()
    assert_close(
        lowest, at(-0.170041).squeeze(), "the lowest value of gelu",
        because="GELU goes down to -0.17, near x = -0.75, and from there back to 0.",
        atol=1e-4,  # the grid of 0.01 misses the minimum by 4e-6
    )


def test_gelu_equals_torchs_tanh_form(solution):
    x = between(-6, 6, 1201)
    assert_close(
        solution.gelu(x), curve(x), "gelu between -6 and 6",
        because="It is 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), with sqrt(2/pi) = 0.797885.",
        atol=GELU_ATOL,
    )


def test_gelu_passes_the_gradient(solution):
    assert_gradients_of(
        solution.gelu, curve, {"x": between(-3, 3, 61)},
        because="It is the slope of the curve, that of F.gelu(x, approximate='tanh'): (1 + t) / 2 + x / 2 * (1 - t²) * "
        "u', where t is the tanh and u' the slope of what it is taken of, sqrt(2 / pi) * (1 + 3 * 0.044715 * x²).",
    )


# --- FeedForward: what it is ---------------------------------------------------------------------


def feed_forward(solution, **changes):
    return fill(solution.FeedForward(tiny(**changes)))


def text(length=T):
    return draw("x", B=B, T=length, C=C)


def test_the_layers_have_the_names_and_shapes_of_gpt2(solution):
    assert_parameters(
        solution.FeedForward(CONFIG),
        {"c_fc.weight": (INNER, C), "c_fc.bias": (INNER,), "c_proj.weight": (C, INNER), "c_proj.bias": (C,)},
        "FeedForward",
        because=f"c_fc goes from n_embd = {C} to n_inner = {INNER} channels and c_proj goes back; both have a bias.",
    )


def test_n_inner_of_none_is_four_times_the_width(solution):
    assert_shape(
        solution.FeedForward(tiny(n_inner=None)).c_fc.weight, (4 * C, C), "c_fc.weight when n_inner was not given",
        because="The config turns None into 4 * n_embd by itself: config.n_inner is always a number.",
    )


@pytest.mark.parametrize("length", [1, T])
def test_the_output_has_the_shape_of_the_input(solution, length):
    assert_shape(
        feed_forward(solution)(text(length)), (B, length, C), "the output",
        because="Every token comes out with as many channels as it went in.",
    )


def test_every_output_is_a_number(solution):
    assert_finite(
        feed_forward(solution), 10 * text(),
        because="The formula has a value for every x; NaN comes of inf / inf, 0 * inf and inf - inf, "
        "and exp of a large number is inf.",
    )


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(feed_forward(solution), text(), what="FeedForward")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(feed_forward(solution), text(), what="the output")
    assert_weights_are_read(feed_forward(solution), text(), what="the output")


@pytest.mark.parametrize("lengths", [(T, 3), (2, T)], ids=str)
def test_a_text_of_another_length_may_follow(solution, lengths):
    assert_nothing_is_kept(lambda: feed_forward(solution), *map(text, lengths), what="the output")


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    assert_layout_is_free(feed_forward(solution), text(), what="the output for a non-contiguous input")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(feed_forward(solution), text(), what="the output", other=draw("y", B=B, T=T, C=C))


def test_a_long_text_gives_what_its_tokens_give_one_by_one(solution):
    model, x = feed_forward(solution), draw("long", 1, 37, C)
    alone = torch.cat([model(x[:, t : t + 1]) for t in range(x.size(1))], dim=1)
    assert_close(
        model(x), alone, "the output for a text of 37 tokens, set against each of them given alone,",
        because="Each token goes through the same layers, whatever its place and however many there are.",
    )  # fmt: skip


def test_each_token_is_treated_alone(solution):
    model, x = feed_forward(solution), text()
    before, changed = model(x), x.clone()
    changed[:, 3] = draw("y", B, C)
    others = [0, 1, 2, 4, 5, 6]
    assert_close(
        model(changed)[:, others], before[:, others], "the output of the other tokens, after changing only token 3,",
        because="The feed-forward layer never mixes tokens; only attention does.",
    )


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(feed_forward(solution), text(), what="the output")


def test_it_works_in_half_precision(solution):
    assert_half_precision(feed_forward(solution), text())


def test_it_moves_to_another_device(solution):
    assert_moves(feed_forward(solution), text(), what="FeedForward")


# --- what it computes ----------------------------------------------------------------------------


def test_with_c_fc_of_zero_only_the_bias_of_c_proj_is_left(solution):
    model = feed_forward(solution)
    with torch.no_grad():
        model.c_fc.weight.zero_()
        model.c_fc.bias.zero_()
    expected = model.c_proj.bias.detach().expand(B, T, C)
    assert_close(
        model(text()), expected, "the output when c_fc gives zeros",
        because="gelu(0) is 0, so c_proj gets zeros and gives its bias, which nothing changes any more in eval mode.",
    )


def test_the_output_may_be_far_below_zero(solution):
    model = feed_forward(solution)
    with torch.no_grad():
        model.c_proj.weight.zero_()
        model.c_proj.bias.copy_(torch.linspace(-9, -2, C))
    expected = model.c_proj.bias.detach().expand(B, T, C)
    assert_close(
        model(text()), expected, "the output when c_proj gives numbers between -9 and -2",
        because="Nothing bends what comes out of c_proj: the activation stands between the two layers.",
    )


def test_the_activation_stands_between_the_two_layers(solution):
    assert_activation(feed_forward(solution), text())


def test_the_output_equals_the_formula(solution):
    model, x = feed_forward(solution), text()
    with torch.no_grad():
        expected = model.c_proj(F.gelu(model.c_fc(x), approximate="tanh"))
    assert_close(
        model(x), expected, "the output",
        because="It is c_proj(gelu(c_fc(x))), with nothing before it, nothing after it and nothing added.",
    )


def test_each_step_gives_what_the_reference_gives(solution, reference):
    mine, theirs = twins(solution.FeedForward, reference.FeedForward, CONFIG)
    assert_same_module(mine, theirs, text(), what="the output", because="The reference has the same parameters.")


# --- learning ------------------------------------------------------------------------------------


def test_every_parameter_gets_a_gradient(solution):
    model = feed_forward(solution)
    assert_tensor(model(text()), "the output").sum().backward()
    assert_gradients(model, "the output", again=lambda: model(text()))


def test_the_gradients_are_those_of_the_reference(solution, reference):
    mine, theirs = twins(solution.FeedForward, reference.FeedForward, CONFIG)
    assert_same_gradients(mine, theirs, text())


def test_a_rate_of_zero_drops_nothing(solution):
    model, x = feed_forward(solution, resid_pdrop=0.0), text()
    quiet = model(x)
    assert_close(
        model.train()(x), quiet, "the output in train mode with resid_pdrop = 0",
        because="Train mode switches on dropout and nothing else, at the rate resid_pdrop: at 0 nothing differs.",
    )


def test_dropout_is_the_last_step(solution):
    model = feed_forward(solution, resid_pdrop=0.4).train()
    numbered = torch.arange(1.0, C + 1, device=draw("d", 1).device)
    with torch.no_grad():
        model.c_proj.weight.zero_()
        model.c_proj.bias.copy_(numbered)
        out = model(draw("x", 40, T, C))
    assert_dropped(
        out, numbered, 0.4, "the output",
        because="Dropout with the rate resid_pdrop comes after c_proj: a dropped value of the output is exactly 0.",
    )
    assert_drops_anew(model, draw("x", 40, T, C), what="the output")


def test_nothing_is_dropped_inside(solution):
    # With one inner channel the output tells whether that channel was dropped.
    model = feed_forward(solution, n_inner=1, resid_pdrop=0.4).train()
    numbered = torch.arange(1.0, C + 1, device=draw("d", 1).device)
    with torch.no_grad():
        model.c_proj.weight.fill_(1.0)
        model.c_proj.bias.copy_(numbered)
        model.c_fc.weight.zero_()
        model.c_fc.bias.fill_(20.0)
        out = model(draw("x", 40, T, C))
    assert_dropped(
        out, 20 + numbered, 0.4, "the output",
        because="Only the output is dropped: a second dropout, between the two layers, is no part of GPT-2.",
    )
