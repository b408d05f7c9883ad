"""Problem 07, part 1: what LayerNorm promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_close,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fill,
    observe,
)
from common.testing.calls import assert_weights_are_read
from common.testing.causality import assert_finite
from common.testing.comparisons import assert_layout_is_free, assert_same_gradients
from common.testing.dtypes import assert_half_precision

B, T, C = 4, 7, 15
AXES = {"B": B, "T": T, "C": C}
EPS = 0.03


def text(length=T):
    return draw("x", B=B, T=length, C=C)


# --- LayerNorm: what it is -----------------------------------------------------------------------


def norm_with(solution, eps=EPS):
    """The learner's norm, with a weight that is not 1 and a bias that is not 0."""
    return fill(solution.LayerNorm(C, eps=eps))


def plain(solution, eps=EPS):
    """The learner's norm with weight 1 and bias 0, whatever it starts with."""
    norm = norm_with(solution, eps)
    with torch.no_grad():
        norm.weight.fill_(1.0)
        norm.bias.zero_()
    return norm


def test_weight_and_bias_are_parameters_of_the_width(solution):
    assert_parameters(
        solution.LayerNorm(C), {"weight": (C,), "bias": (C,)}, "LayerNorm",
        because="Both are made in __init__ with one number for each channel, and wrapped in nn.Parameter, so that "
        "they are learned, saved and moved with the module.",
    )


@pytest.mark.parametrize(("name", "start"), [("weight", 1.0), ("bias", 0.0)])
def test_at_the_start_the_norm_has_no_effect_of_its_own(solution, name, start):
    assert_close(
        getattr(solution.LayerNorm(C), name).cpu(), torch.full((C,), start), f"{name} at the start",
        because="Ones to multiply with and zeros to add change nothing; training moves them away from there.",
    )


@pytest.mark.parametrize("length", [1, T])
def test_the_shape_is_kept(solution, length):
    assert_shape(
        norm_with(solution)(text(length)), (B, length, C), "the output of LayerNorm",
        because="Each number is brought to another size and stays in its place.",
    )


def test_layer_norm_leaves_its_input_alone(solution):
    assert_input_untouched(norm_with(solution), text(), what="LayerNorm")


def test_every_output_is_a_number(solution):
    assert_finite(
        norm_with(solution), text(),
        because="A variance is never below 0, and eps keeps the root away from 0; NaN is 0 / 0 or the root of a "
        "negative number, and infinity a number divided by 0.",
    )


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(norm_with(solution), text(), what="LayerNorm")
    assert_weights_are_read(norm_with(solution), text(), what="LayerNorm")


def test_another_text_may_follow(solution):
    then = text()
    alone, norm = norm_with(solution)(then), norm_with(solution).train()
    for earlier in (text(T + 2), draw("an earlier text", B, T, C)):
        norm(2 + 3 * earlier)
    assert_close(
        norm.eval()(then), alone, "LayerNorm in eval mode, after other texts in train mode,",
        because="A norm that has read other texts before answers like one that has not: every vector has its own mean "
        "and variance, and nothing is kept.",
    )


def test_a_constant_vector_has_a_gradient(solution):
    norm, x = norm_with(solution), torch.full_like(text(), 3.0).requires_grad_()
    assert_tensor(norm(x), "LayerNorm").sum().backward()
    assert_true(
        x.grad is not None and bool(x.grad.isfinite().all()),
        "the gradient of LayerNorm at a vector of equal numbers is NaN or infinite, or there is none",
        because="Its variance is 0, where a root has an infinite slope: eps is added to the variance first, and the "
        "root is taken of the sum.",
    )


def test_train_mode_is_the_same(solution):
    norm, x = norm_with(solution), text()
    quiet = norm(x)
    assert_close(
        norm.train()(x), quiet, "LayerNorm in train mode",
        because="LayerNorm drops nothing and keeps no averages, so train mode and eval mode do not differ.",
    )


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    assert_layout_is_free(norm_with(solution), text(), what="LayerNorm of a non-contiguous input")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(norm_with(solution), text(), what="LayerNorm", other=draw("y", B=B, T=T, C=C))


def test_each_token_is_normalised_by_itself(solution):
    norm, x = norm_with(solution), text()
    before, changed = norm(x), x.clone()
    changed[:, 3] = 50 * draw("y", B, C)
    others = [0, 1, 2, 4, 5, 6]
    assert_close(
        norm(changed)[:, others], before[:, others], "LayerNorm of the other tokens, after changing only token 3,",
        because="Mean and variance are those of a token's own C channels. With other tokens in them, the future "
        "would reach into the past.",
    )


@pytest.mark.parametrize("shape", [(C,), (B * T, C), (2, 2, T, C)], ids=str)
def test_any_number_of_axes_may_stand_before_the_channels(solution, shape):
    norm, x = norm_with(solution), text()
    if shape == (C,):
        x = x[:1, :1]
    result, as_text = norm(x.reshape(shape)), norm(x).reshape(shape)
    right = F.layer_norm(x.reshape(shape), (C,), norm.weight, norm.bias, EPS)
    same = assert_tensor(result, "LayerNorm").shape == as_text.shape and torch.allclose(result, as_text, atol=1e-5)
    assert_close(
        result, as_text if same else right, f"LayerNorm of a tensor of shape {shape}",
        because="Each vector is normalised by itself along the last axis, whatever stands before it, and however much.",
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_it_keeps_the_dtype(solution, dtype):
    assert_keeps_dtype(norm_with(solution), text(), what="LayerNorm", dtype=dtype)


def test_it_works_in_half_precision(solution):
    assert_half_precision(norm_with(solution), text())


def test_it_moves_to_another_device(solution):
    assert_moves(norm_with(solution), text(), what="LayerNorm")


# --- LayerNorm: what it computes -----------------------------------------------------------------


def test_each_tokens_mean_becomes_zero(solution):
    out = assert_tensor(plain(solution)(3 + 2 * text()), "LayerNorm")
    observe("LayerNorm with weight 1 and bias 0", out)
    assert_close(
        out.mean(-1), torch.zeros(B, T, device=out.device), "the mean of each token's vector after LayerNorm",
        because="With weight 1 and bias 0 each vector has the mean 0: its own mean over the C channels is taken off.",
        atol=1e-4,  # a missing mean shows as 3 / 2; float32 leaves 1e-6
    )


def test_each_tokens_variance_becomes_one(solution):
    # eps is as good as 0 here, so only the variance is left to see.
    out = assert_tensor(plain(solution, eps=1e-12)(3 * text()), "LayerNorm")
    observe("LayerNorm with weight 1, bias 0 and hardly any eps", out)
    variance = out.var(-1, correction=0)
    assert_close(
        variance, torch.ones_like(variance), "the variance of each token's vector after LayerNorm",
        because=f"With weight 1, bias 0 and a tiny eps each vector has the variance 1, the mean of its {C} squares: "
        "x minus its mean is divided by the root of the biased variance, the standard deviation.",
        atol=1e-3,
    )


def test_eps_is_added_to_the_variance_inside_the_root(solution):
    # The variance is eps itself: where eps stands decides the result.
    x = text()
    x = x - x.mean(-1, keepdim=True)
    x = x / x.square().mean(-1, keepdim=True).sqrt() * EPS**0.5
    assert_close(
        plain(solution)(x), x / (2 * EPS) ** 0.5, f"LayerNorm of vectors whose mean is 0 and whose variance is {EPS}, "
            "as is eps,",
        because="Each channel is divided by sqrt(variance + eps), here the root of twice eps, with the eps that the "
        "constructor was given.",
        atol=1e-4,
    )


def test_the_default_eps_is_1e_5(solution):
    x, norm = 1e-3 * text(), fill(solution.LayerNorm(C))
    expected = F.layer_norm(x, (C,), norm.weight, norm.bias, 1e-5)
    assert_close(
        norm(x), expected, "LayerNorm(n_embd), with the default eps, of inputs around 0.001",
        because="eps is 1e-5 when none is given, and it is added to the variance, which is 1e-6 here.",
        atol=1e-4,  # eps 1e-6 changes these outputs by 1
    )


def test_a_constant_vector_gives_the_bias(solution):
    norm = norm_with(solution)
    expected = norm.bias.detach().expand(B, T, C)
    assert_close(
        norm(5 + 0 * text()), expected, "LayerNorm of vectors whose channels are all 5",
        because="Minus its mean such a vector is 0, and 0 / sqrt(0 + eps) is 0, so only the bias is left.",
    )


def test_weight_multiplies_each_channel(solution):
    norm, x, scale = plain(solution), text(), draw("weight", C)
    expected = norm(x) * scale
    with torch.no_grad():
        norm.weight.copy_(scale)
    assert_close(
        norm(x), expected, "LayerNorm, after setting weight,",
        because="With bias 0 each channel of the normalised vector is multiplied by its own weight, and that is all.",
    )


def test_bias_is_added_last(solution):
    norm, x, shift = norm_with(solution), text(), draw("bias", C)
    with torch.no_grad():
        norm.bias.zero_()
        expected = norm(x) + shift
        norm.bias.copy_(shift)
    assert_close(
        norm(x), expected, "LayerNorm, after setting bias,",
        because="Each channel gets its own bias added when everything else is done, so nothing scales the bias.",
    )


@pytest.mark.parametrize("eps", [1e-5, EPS])
def test_it_equals_torchs_own(solution, eps):
    norm, x = norm_with(solution, eps), 2 + 3 * text()
    expected = F.layer_norm(x, (C,), norm.weight, norm.bias, eps)
    assert_close(
        norm(x), expected, f"LayerNorm with eps = {eps}",
        because="It is (x - mean) / sqrt(variance + eps) * weight + bias, which is F.layer_norm with your weight and "
        "bias.",
    )


def test_a_large_mean_does_not_drown_the_differences(solution):
    norm, x = norm_with(solution), 1000 + text()
    exact = F.layer_norm(x.double(), (C,), norm.weight.double(), norm.bias.double(), EPS).float()
    assert_close(
        norm(x), exact, "LayerNorm of vectors with mean 1000 and variance 1",
        because="The squares are those of x minus its mean. The mean of the squares minus the square of the mean, the "
        "same on paper, is 1,000,001 - 1,000,000 here, of which float32 keeps one digit.",
        atol=5e-3,  # float32 holds x to 6e-5 here and centring it keeps that; the other formula is off by 0.1 and more
    )


def test_the_gradients_of_layer_norm_are_those_of_torchs_own(solution):
    assert_same_gradients(norm_with(solution), fill(nn.LayerNorm(C, eps=EPS)), text())
