"""Problem 07, part 2: what pre_norm_residual promises, from cause to consequence.

Shapes: B batch, T tokens, C n_embd.
"""

import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_gradients,
    assert_identical,
    assert_input_untouched,
    assert_shape,
    assert_tensor,
    draw,
    fill,
    observe,
)
from common.testing.comparisons import (
    assert_same_gradients,
)

B, T, C = 4, 7, 15
AXES = {"B": B, "T": T, "C": C}


def text(length=T):
    return draw("x", B=B, T=length, C=C)


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


def test_what_norm_and_sublayer_give_is_left_alone(solution):
    x = text()
    before = x.clone()
    out = solution.pre_norm_residual(x, lambda h: h, lambda h: h)
    assert_identical(
        x, before, "x, where norm and sublayer hand on what they are given,",
        because="What they give is not yours to change: here it is x itself. x + out is a new tensor; out += x writes "
        "into the old one.",
    )
    assert_close(
        out, 2 * before, "the result where norm and sublayer hand on what they are given",
        because="It is x plus what the sublayer gives, which is x again.",
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
