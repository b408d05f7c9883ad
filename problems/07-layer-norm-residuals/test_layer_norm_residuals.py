"""Problem 07: what LayerNorm and pre_norm_residual promise, from cause to consequence.

Shapes: B batch, T tokens, C n_embd.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_gradients,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_tensor,
    draw,
    fill,
    observe,
)
from common.testing.causality import assert_finite
from common.testing.comparisons import (
    assert_half_precision,
    assert_layout_is_free,
    assert_same_gradients,
)

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
    expected = norm(x).reshape(shape)
    assert_close(
        norm(x.reshape(shape)), expected, f"LayerNorm of a tensor of shape {shape}",
        because="The same vectors as (B, T, C) give the expected values: each is normalised by itself along the last "
        "axis, whatever stands before it.",
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


# --- pre_norm_residual ---------------------------------------------------------------------------


def norm_of(x):
    return F.layer_norm(x, x.shape[-1:])


class Residual(nn.Module):
    """A norm and a linear layer, joined by the pre_norm_residual that it is given."""

    def __init__(self, join):
        super().__init__()
        self.join, self.norm, self.layer = join, nn.LayerNorm(C), nn.Linear(C, C)

    def forward(self, x):
        return self.join(x, self.norm, self.layer)


def test_the_result_has_the_shape_of_x(solution):
    assert_shape(
        solution.pre_norm_residual(text(), norm_of, torch.zeros_like), (B, T, C), "the result",
        because="What the sublayer gives has the shape of x, and the two are added.",
    )


def test_pre_norm_residual_leaves_x_alone(solution):
    assert_input_untouched(
        lambda x: solution.pre_norm_residual(x, norm_of, torch.ones_like), text(), what="pre_norm_residual"
    )


def calls(solution, x, sublayer):
    """What norm and sublayer are called with."""
    normed, read = [], []

    def norm(h):
        normed.append(h.clone())
        return norm_of(h)

    def layer(h):
        read.append(h.clone())
        return sublayer(h)

    solution.pre_norm_residual(x, norm, layer)
    observe("number of calls of norm and sublayer", (len(normed), len(read)))
    return normed, read


def test_norm_and_sublayer_are_called_once_each(solution):
    normed, read = calls(solution, 2 + text(), lambda h: 3 * h)
    assert_equal(
        (len(normed), len(read)), (1, 1), "the pair (calls of norm, calls of sublayer)",
        because="In x + sublayer(norm(x)) each is called once, and by its own name; with dropout inside, two calls "
        "would give two results.",
    )


def test_the_norm_gets_x(solution):
    x = 2 + text()
    for h in calls(solution, x.clone(), lambda h: 3 * h)[0]:
        assert_close(h, x, "what norm gets", because="norm is applied to x itself, and to nothing else.")


def test_the_sublayer_gets_the_normalised_x(solution):
    x = 2 + text()
    expected = norm_of(x)
    for h in calls(solution, x, lambda h: 3 * h)[1]:
        assert_close(h, expected, "what the sublayer gets", because="The sublayer reads norm(x): this is pre-norm.")


def test_a_sublayer_of_zeros_returns_x_itself(solution):
    x = 2 + text()
    assert_close(
        solution.pre_norm_residual(x.clone(), norm_of, torch.zeros_like), x, "the result for a sublayer that gives "
            "zeros",
        because="x goes past the sublayer as it is, and the sublayer's output is added to it: x + 0 is x.",
    )


def test_the_sublayers_output_is_added_as_it_is(solution):
    x, change = text(), draw("change", B=B, T=T, C=C)
    assert_close(
        solution.pre_norm_residual(x.clone(), norm_of, lambda h: change.clone()), x + change, "the result",
        because="It is x + sublayer(norm(x)): nothing is scaled, dropped or normalised after the sublayer.",
    )


def test_modules_work_as_well_as_functions(solution):
    model, x = fill(Residual(solution.pre_norm_residual)), text()
    expected = x + model.layer(model.norm(x))
    assert_close(
        model(x), expected, "the result for an nn.LayerNorm and an nn.Linear",
        because="x + sublayer(norm(x)), where norm and sublayer are whatever can be called with a tensor.",
    )


def test_the_gradient_takes_the_short_way(solution):
    x = text().requires_grad_()
    out = assert_tensor(solution.pre_norm_residual(x, norm_of, lambda h: 0 * h), "the result")
    (gradient,) = torch.autograd.grad(out.sum() + 0 * x.sum(), x)
    assert_close(
        gradient, torch.ones_like(x), "the gradient of x past a sublayer that gives zeros",
        because="The residual path hands the gradient through as it is, which makes deep stacks trainable; "
        "detach(), .data and torch.no_grad() cut it.",
    )


def test_norm_and_sublayer_learn(solution):
    model, x = fill(Residual(solution.pre_norm_residual)), text().requires_grad_()
    (assert_tensor(model(x), "the result") * draw("direction", B=B, T=T, C=C)).sum().backward()
    assert_gradients(model, "the result", again=lambda: model(text()))


def test_the_gradients_of_the_sum_are_right(solution, reference):
    mine, theirs = (fill(Residual(part.pre_norm_residual)) for part in (solution, reference))
    assert_same_gradients(mine, theirs, text())
