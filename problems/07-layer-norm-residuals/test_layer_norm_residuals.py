"""Problem 07: what LayerNorm and pre_norm_residual promise, from cause to consequence.

Shapes: B batch, T tokens, C n_embd.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_gradients,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_true,
    draw,
    fill,
)

B, T, C = 2, 7, 12
EPS = 0.03


def plain(solution, eps=EPS):
    """The learner's norm with weight 1 and bias 0, whatever it starts with."""
    norm = solution.LayerNorm(C, eps=eps).to(draw("d", 1).device)
    with torch.no_grad():
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    return norm


# --- LayerNorm -----------------------------------------------------------------------------------


def test_weight_and_bias_are_parameters_of_the_width(solution):
    assert_parameters(
        solution.LayerNorm(C), {"weight": (C,), "bias": (C,)}, "LayerNorm",
        because="One number for each channel, wrapped in nn.Parameter so that it is learned and saved.",
    )  # fmt: skip


def test_weight_starts_at_one_and_bias_at_zero(solution):
    norm = solution.LayerNorm(C)
    assert_close(norm.weight, torch.ones(C), "weight at the start", because="The norm starts without an effect of its own: weight is all ones, bias all zeros.")
    assert_close(norm.bias, torch.zeros(C), "bias at the start", because="The norm starts without an effect of its own: weight is all ones, bias all zeros.")


@pytest.mark.parametrize("shape", [(B, T, C), (1, 1, C), (T, C)], ids=str)
def test_the_shape_is_kept(solution, shape):
    assert_shape(fill(solution.LayerNorm(C))(draw("x", *shape)), shape, f"LayerNorm of a tensor of shape {shape}", because="Only the last axis takes part; use dim=-1 and keepdim=True.")


def test_it_is_repeatable_in_train_mode_too(solution):
    norm, x = fill(solution.LayerNorm(C)), draw("x", B, T, C)
    assert_repeatable(norm, x, what="LayerNorm")
    assert_identical(
        norm.train()(x), norm.eval()(x), "the output in train mode",
        because="LayerNorm has no train mode: it keeps no running averages and drops nothing.",
    )  # fmt: skip


def test_each_tokens_mean_becomes_zero(solution):
    out = plain(solution)(3 + 2 * draw("x", B, T, C))
    assert_close(
        out.mean(-1), torch.zeros(B, T, device=out.device), "the mean of each token's vector after LayerNorm",
        because="Subtract the mean of the token's own C channels: x.mean(dim=-1, keepdim=True). RMSNorm leaves it out; GPT-2 does not.",
        atol=1e-4,  # a missing mean shows as 3 / 2; float32 leaves 1e-6
    )  # fmt: skip


def test_each_token_is_normalised_by_itself(solution):
    norm, x = plain(solution), draw("x", B, T, C)
    changed = x.clone()
    changed[0, 3] = 50 * draw("y", C)
    after, before = norm(changed), norm(x)
    assert_close(
        after[0, [0, 1, 2, 4, 5, 6]], before[0, [0, 1, 2, 4, 5, 6]], "the other tokens of the same text, after changing only token 3,",
        because="Mean and variance run over the C channels of one token (dim=-1). Over tokens as well, the norm would carry the future into the past.",
    )  # fmt: skip
    assert_close(
        after[1], before[1], "the other text of the batch, after changing a token of the first,",
        because="Mean and variance run over the C channels of one token (dim=-1), never over the batch.",
    )  # fmt: skip


def test_the_variance_becomes_one(solution):
    # eps is as good as 0 here, so only the variance is left to see.
    out = plain(solution, eps=1e-12)(3 * draw("x", B, T, C))
    variance = out.var(-1, unbiased=False)
    value = float(variance.mean())
    says = "Divide by the square root of the variance (plus eps)."
    if abs(value - (C - 1) / C) < 1e-3:
        says = f"It is {value:.4f} = (C - 1) / C: you used the unbiased variance, which divides by C - 1. Pass unbiased=False (correction=0), or average the squares."
    elif abs(value - 9) < 2.5:
        says = "The deviations are centred but not divided by the standard deviation."
    elif value < 0.5:
        says = "You divide by the variance; its square root, the standard deviation, is missing."
    assert_close(variance, torch.ones_like(variance), "the variance of each token's vector after LayerNorm", because=says, atol=1e-3)


def test_eps_is_added_to_the_variance_inside_the_root(solution):
    # A variance as small as eps itself: where eps stands decides the result.
    x = draw("x", B, T, C)
    x = x - x.mean(-1, keepdim=True)
    x = x / x.square().mean(-1, keepdim=True).sqrt() * EPS**0.5
    out = plain(solution)(x)
    spread = out.square().mean(-1).sqrt()
    value = float(spread.mean())
    outside = 1 / (1 + EPS**0.5)
    known = {1.0: "eps has no effect", EPS**0.5 / (EPS**0.5 + EPS): "eps is added to the standard deviation, after the root", outside: "eps is added after the root"}
    says = next((f"{text}: it belongs inside, sqrt(variance + eps)." for level, text in known.items() if abs(value - level) < 1e-3), "")
    assert_close(
        spread, torch.full((B, T), 0.5**0.5, device=x.device), f"the spread after LayerNorm for a variance equal to eps = {EPS}",
        because=says[:1].upper() + says[1:] if says else "With variance = eps the result is x / sqrt(2 eps), of spread 0.7071: sqrt(variance + eps), with the eps of the constructor.",
        atol=1e-4,
    )  # fmt: skip


def test_the_default_eps_is_1e_5(solution):
    x = draw("x", B, T, C)
    x = x - x.mean(-1, keepdim=True)
    x = 1e-3 * x
    norm = fill(solution.LayerNorm(C))
    assert_close(
        norm(x), F.layer_norm(x, (C,), norm.weight, norm.bias, 1e-5), "LayerNorm with the default eps, of inputs around 0.001",
        because="eps is 1e-5 when none is given.", atol=1e-4,  # eps 1e-6 changes these outputs by 1
    )  # fmt: skip


def test_a_constant_vector_gives_the_bias(solution):
    norm = fill(solution.LayerNorm(C, eps=EPS))
    assert_close(
        norm(torch.full((B, T, C), 5.0, device=norm.bias.device)), norm.bias.expand(B, T, C), "LayerNorm of a vector whose channels are all 5",
        because="Minus its mean such a vector is 0, and 0 / sqrt(0 + eps) is 0, so only the bias is left; eps keeps it from being 0/0.",
    )  # fmt: skip


def test_weight_multiplies_and_bias_is_added(solution):
    norm, x = plain(solution), draw("x", B, T, C)
    normal = norm(x)
    scale, shift = draw("weight", C), draw("bias", C)
    with torch.no_grad():
        norm.weight.copy_(scale)
    assert_close(norm(x), normal * scale, "the output, after setting weight,", because="Each normalised channel is multiplied by its weight, and by nothing else.")
    with torch.no_grad():
        norm.bias.copy_(shift)
    assert_close(norm(x), normal * scale + shift, "the output, after setting weight and bias,", because="The bias is added last, after the weight has been multiplied.")


@pytest.mark.parametrize("eps", [1e-5, EPS])
def test_it_equals_torchs_own(solution, eps):
    norm, x = fill(solution.LayerNorm(C, eps=eps)), 2 + 3 * draw("x", B, T, C)
    assert_close(
        norm(x), F.layer_norm(x, (C,), norm.weight, norm.bias, eps), f"LayerNorm with eps = {eps}",
        because="F.layer_norm with your weight and bias gives the expected value.",
    )  # fmt: skip


def test_a_large_mean_does_not_drown_the_differences(solution):
    norm, x = fill(solution.LayerNorm(C, eps=EPS)), 1000 + draw("x", B, T, C)
    exact = F.layer_norm(x.double(), (C,), norm.weight.double(), norm.bias.double(), EPS)
    assert_close(
        norm(x), exact, "LayerNorm of vectors with mean 1000 and variance 1",
        because="The mean of the squares minus the square of the mean loses everything here: 1,000,001 - 1,000,000 has one digit left in float32. "
        "Average the squares of x minus its mean.",
        atol=5e-3,  # float32 holds x to 6e-5 here and centring it keeps that; the other formula is off by 0.1 and more
    )  # fmt: skip


def test_a_single_vector_is_normalised_as_well(solution):
    assert_shape(fill(solution.LayerNorm(C))(draw("x", C)), (C,), "LayerNorm of a single vector", because="Only the last axis takes part, however many stand before it: dim=-1 and keepdim=True.")


def test_the_gradient_equals_torchs(solution):
    norm, direction = fill(solution.LayerNorm(C, eps=EPS)), draw("direction", B, T, C)
    mine, theirs = draw("x", B, T, C).requires_grad_(), draw("x", B, T, C).requires_grad_()
    (norm(mine) * direction).sum().backward()
    assert_gradients(norm, "the output")
    assert_true(mine.grad is not None, "no gradient reaches x through LayerNorm", because="detach(), .data or no_grad() cut the graph.")
    (F.layer_norm(theirs, (C,), norm.weight.detach(), norm.bias.detach(), EPS) * direction).sum().backward()
    assert_close(mine.grad, theirs.grad, "the gradient of x", because="Mean and variance depend on x as well: do not detach them.")


def test_layer_norm_leaves_its_input_alone(solution):
    assert_input_untouched(fill(solution.LayerNorm(C)), draw("x", B, T, C), what="LayerNorm")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(fill(solution.LayerNorm(C)), draw("x", B, T, C), what="LayerNorm", other=draw("y", B, T, C))


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(fill(solution.LayerNorm(C)), draw("x", B, T, C), what="LayerNorm")


def test_it_moves_to_another_device(solution):
    assert_moves(fill(solution.LayerNorm(C)), draw("x", B, T, C), what="LayerNorm")


# --- pre_norm_residual ---------------------------------------------------------------------------


def norm_of(x):
    return F.layer_norm(x, x.shape[-1:])


def test_a_sublayer_of_zeros_returns_x_itself(solution):
    x = 2 + draw("x", B, T, C)
    out = solution.pre_norm_residual(x, norm_of, torch.zeros_like)
    says = "x goes past the sublayer untouched and the sublayer's output is added: x + sublayer(norm(x))."
    if bool((out == 0).all()):
        says = "x is never added back: without the residual connection the sublayer's output is all there is."
    elif torch.allclose(out, norm_of(x), atol=1e-4):
        says = "The normalised x comes out. If norm stands around the sum, that is post-norm (GPT-1); if norm(x) is what you add to, keep the raw x for the sum."
    assert_close(out, x, "the result for a sublayer that gives zeros", because=says)


def test_the_sublayer_gets_the_normalised_x(solution):
    got = []
    x = 2 + draw("x", B, T, C)
    solution.pre_norm_residual(x, norm_of, lambda h: got.append(h) or h)
    assert_equal(len(got), 1, "the number of calls of the sublayer", because="Call it once and keep its result: with dropout inside, two calls give two results.")
    assert_close(
        got[0], norm_of(x), "what the sublayer gets",
        because="Pre-norm: the sublayer gets norm(x). Yours gets something else, such as the raw x (post-norm, as in GPT-1).",
    )  # fmt: skip


def test_the_norm_is_applied_to_x_and_only_there(solution):
    got = []
    x = 2 + draw("x", B, T, C)
    solution.pre_norm_residual(x, lambda h: got.append(h) or norm_of(h), lambda h: 3 * h)
    assert_equal(len(got), 1, "the number of calls of norm", because="norm is applied once, to x, before the sublayer; not to the sum.")
    assert_close(got[0], x, "what norm gets", because="norm is applied to x itself.")


def test_the_sublayers_output_is_added_as_it_is(solution):
    x, change = draw("x", B, T, C), draw("change", B, T, C)
    assert_close(
        solution.pre_norm_residual(x, norm_of, lambda h: change), x + change, "the result",
        because="x + sublayer(norm(x)): nothing is scaled, dropped or normalised after the sum. Dropout lives inside the sublayers.",
    )  # fmt: skip


def test_pre_norm_residual_leaves_x_alone(solution):
    assert_input_untouched(lambda x: solution.pre_norm_residual(x, norm_of, torch.ones_like), draw("x", B, T, C), what="pre_norm_residual")


def test_the_gradient_takes_the_short_way(solution):
    x = draw("x", B, T, C).requires_grad_()
    solution.pre_norm_residual(x, norm_of, lambda h: 0 * h).sum().backward()
    assert_true(x.grad is not None, "no gradient reaches x through pre_norm_residual", because="detach(), .data or no_grad() cut the graph.")
    assert_close(x.grad, torch.ones_like(x), "the gradient of x past a sublayer that gives zeros", because="The residual path hands the gradient through unchanged; that is what makes deep stacks trainable.")


def test_modules_work_as_well_as_functions(solution):
    norm, layer, x = fill(torch.nn.LayerNorm(C)), fill(torch.nn.Linear(C, C)), draw("x", B, T, C)
    assert_close(solution.pre_norm_residual(x, norm, layer), x + layer(norm(x)), "the result for an nn.LayerNorm and an nn.Linear", because="x + sublayer(norm(x)).")
