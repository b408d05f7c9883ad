"""Interview 14, first part: what LoRALinear promises, from cause to consequence.

Shapes: B texts, T tokens, I in_features, O out_features, r the rank.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_raises,
    assert_repeatable,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fail,
    fill,
    observe,
)
from common.testing.comparisons import assert_layout_is_free

I, O, R, ALPHA = 12, 7, 3, 5.0
AXES = {"I": I, "O": O, "r": R}
BIAS = pytest.mark.parametrize("bias", [True, False], ids=["with a bias", "without one"])
NAMES = ("weight", "bias", "lora_A", "lora_B")


def linear_of(bias=True, n_in=I, n_out=O):
    return fill(nn.Linear(n_in, n_out, bias=bias))


def layer_of(solution, linear, r=R, alpha=ALPHA, trained=True):
    """The layer; with numbers in A and B as if it had learned."""
    layer = solution.LoRALinear(linear, r, alpha).eval()
    if trained:
        with torch.no_grad():
            for name in ("lora_A", "lora_B"):
                p = getattr(layer, name)
                p.copy_(draw(name, *p.shape).to(p.dtype))
    return layer


def update_of(layer, x, r=R, alpha=ALPHA):
    """What A and B add, in one matrix."""
    return F.linear(x, alpha / r * layer.lora_B.detach() @ layer.lora_A.detach())


def text(b=2, t=5, n_in=I):
    return draw("x", B=b, T=t, I=n_in)


# --- what it is made of --------------------------------------------------------------------------


@BIAS
def test_it_has_these_parameters(solution, bias):
    layer = solution.LoRALinear(linear_of(bias), R, ALPHA)
    wanted = {"weight": (O, I), "lora_A": (R, I), "lora_B": (O, R)} | ({"bias": (O,)} if bias else {})
    found = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert_equal(
        sorted(found.items()), sorted(wanted.items()), "the list of names and shapes of the layer's parameters",
        because="weight and bias are those of the given layer, under their names; lora_A makes r numbers of I, and "
        "lora_B makes O of these r.",
    )  # fmt: skip
    buffers = [name for name in layer.state_dict() if name not in wanted]
    assert_equal(
        buffers, [], "the list of what else the layer has in its state dict",
        because="What is saved is the four tensors: no buffers, and no parts with weights of their own.",
    )  # fmt: skip


@pytest.mark.parametrize("r", [0, -3])
def test_a_rank_below_one_is_refused(solution, r):
    with assert_raises(
        ValueError, f"LoRALinear(linear, r={r}, alpha=4)", naming=[r],
        because="The update has at least rank 1; the message holds the number that was given.",
    ):  # fmt: skip
        solution.LoRALinear(linear_of(), r, 4)


def test_it_holds_the_numbers_of_the_given_layer(solution):
    linear = linear_of()
    layer = solution.LoRALinear(linear, R, ALPHA)
    for name in ("weight", "bias"):
        assert_close(
            getattr(layer, name).detach(), getattr(linear, name).detach(), f"`{name}` of the layer",
            because="The layer goes on from the one that it is given: the same weight, the same bias.",
        )  # fmt: skip


def test_only_the_update_trains(solution):
    layer = solution.LoRALinear(linear_of(), R, ALPHA)
    training = sorted(name for name, p in layer.named_parameters() if p.requires_grad)
    assert_equal(
        training, ["lora_A", "lora_B"], "the list of the layer's parameters that require a gradient",
        because="weight and bias are frozen, with requires_grad=False, so that neither gradients nor optimizer state "
        "are kept for them; A and B both learn.",
    )  # fmt: skip


def test_the_given_layer_stays_as_it_is(solution):
    linear = linear_of()
    before = {name: p.detach().clone() for name, p in linear.named_parameters()}
    layer_of(solution, linear)
    training = sorted(name for name, p in linear.named_parameters() if p.requires_grad)
    assert_equal(
        training, ["bias", "weight"], "the list of the given layer's parameters that still require a gradient",
        because="Only the new layer's own weight and bias are frozen. A parameter that is handed on is one object for "
        "both; nn.Parameter(weight.detach(), requires_grad=False) is another one on the same numbers.",
    )  # fmt: skip
    for name, p in linear.named_parameters():
        assert_identical(
            p.detach(), before[name], f"`{name}` of the given layer",
            because="The given layer is read and not written to.",
        )  # fmt: skip


# --- how it begins -------------------------------------------------------------------------------


def test_lora_b_begins_at_zero(solution):
    b = solution.LoRALinear(linear_of(), R, ALPHA).lora_B.detach()
    assert_close(
        b, torch.zeros_like(b), "lora_B of a new layer", atol=0.0,
        because="B is zero, so that the update is zero and nothing changes before the first step.",
    )  # fmt: skip


def test_lora_a_is_random(solution):
    first, second = (solution.LoRALinear(linear_of(), R, ALPHA).lora_A.detach() for _ in range(2))
    rows = len({tuple(row) for a in (first, second) for row in a.tolist()})
    assert_equal(
        rows, 2 * R, "the number of different rows in lora_A of two new layers",
        because="A is drawn at random, anew for each layer. Were it zero like B, neither would ever get a gradient; "
        "with equal rows the update has rank 1 for ever.",
    )  # fmt: skip


@pytest.mark.parametrize("n_in", [16, 400])
def test_lora_a_is_of_the_size_of_a_weight(solution, n_in):
    torch.manual_seed(0)
    a = solution.LoRALinear(nn.Linear(n_in, 4), 50, ALPHA).lora_A.detach() * n_in**0.5
    spread, middle = float(a.std()), float(a.mean())
    observe("lora_A's spread is right", [0.2 <= spread <= 2, abs(middle) < 0.3])
    if not (0.2 <= spread <= 2 and abs(middle) < 0.3):
        fail(
            f"lora_A of a layer with I = {n_in} inputs is of another size:",
            expected="a mean of 0 and a standard deviation between 0.2 and 2, in units of 1 / sqrt(I)",
            got=f"{middle:.2g} and {spread:.2g}",
            because="So x A^T is as large as x, whatever the number of inputs: it is how weights of linear layers "
            "begin, as with kaiming_uniform_.",
        )  # fmt: skip


@BIAS
def test_nothing_changes_at_first(solution, bias):
    linear, x = linear_of(bias), text()
    assert_close(
        layer_of(solution, linear, trained=False)(x), linear(x).detach(), "the output of a new layer",
        because="With B at zero it is x W^T + bias, what the given layer gives.",
    )  # fmt: skip


# --- what comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(), (4,), (2, 5)], ids=["one vector", "rows", "texts"])
def test_the_output_has_the_axes_of_the_input(solution, lead):
    out = layer_of(solution, linear_of())(draw("x", *lead, I))
    assert_shape(out, (*lead, O), "the output", because="The last axis goes from I to O, and all others stay.")


@pytest.mark.parametrize(("r", "alpha"), [(1, 1.0), (4, 4.0), (2, 16.0), (8, 4.0), (3, 0.5)])
def test_the_update_is_scaled_by_alpha_over_r(solution, r, alpha):
    x, linear = text(), linear_of()
    layer = layer_of(solution, linear, r, alpha)
    bare = update_of(layer, x, 1, 1.0)
    update = assert_tensor(layer(x), "the output").detach() - linear(x).detach()
    measured = (update * bare).sum() / (bare * bare).sum()
    assert_close(
        measured, measured.new_tensor(alpha / r), f"the factor of the update B A x with r={r} and alpha={alpha:g}",
        because="It is alpha / r: a larger r adds more terms, and dividing by it keeps the update's size.", atol=1e-4,
    )  # fmt: skip


@BIAS
def test_the_output_is_that_of_the_layer_plus_the_update(solution, bias):
    x, linear = text(), linear_of(bias)
    layer = layer_of(solution, linear)
    right = (linear(x) + update_of(layer, x)).detach()
    assert_close(
        layer(x), right, "the output with numbers in A and B",
        because="It is x W^T + bias + (alpha / r) x A^T B^T: one matrix W + (alpha / r) B A gives the expected value.",
    )  # fmt: skip


def test_what_a_and_b_are_now_counts(solution):
    x, linear = text(), linear_of()
    layer = layer_of(solution, linear)
    layer(x)
    with torch.no_grad():
        layer.lora_A.mul_(-2)
        layer.lora_B.add_(1)
    right = (linear(x) + update_of(layer, x)).detach()
    assert_close(
        layer(x), right, "the output after A and B have changed",
        because="A and B change with every step of training, so the update is computed anew in each call.",
    )  # fmt: skip


def test_the_layer_is_repeatable(solution):
    assert_repeatable(layer_of(solution, linear_of()), text(), what="the output")


def test_the_layer_leaves_its_input_alone(solution):
    assert_input_untouched(layer_of(solution, linear_of()), text(), what="LoRALinear")


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    layer = layer_of(solution, linear_of())
    assert_layout_is_free(lambda x: layer(x).detach(), text(), what="the output for a non-contiguous input")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_the_update_has_the_type_of_the_weight(solution, dtype):
    layer = solution.LoRALinear(linear_of().to(dtype), R, ALPHA)
    types = [str(getattr(layer, name).dtype) for name in NAMES]
    assert_equal(
        types, [str(dtype)] * 4, f"the list of the types of {', '.join(NAMES)}, from a layer in {dtype},",
        because="A and B are made with the dtype of linear.weight; torch.zeros alone makes float32.",
    )  # fmt: skip


def test_the_layer_moves_to_another_type_and_device(solution):
    layer = layer_of(solution, linear_of())
    assert_keeps_dtype(layer, text(), what="the output")
    assert_moves(layer, text(), what="LoRALinear")


# --- learning ------------------------------------------------------------------------------------


def test_the_first_gradient_is_that_of_b(solution):
    layer = layer_of(solution, linear_of().requires_grad_(False), trained=False)
    out = layer(text())
    (out * draw("direction", *out.shape)).sum().backward()
    reached = sorted(n for n, p in layer.named_parameters() if p.grad is not None and bool(p.grad.any()))
    assert_equal(
        reached, ["lora_B"], "the list of parameters of a new layer whose gradient is not zero",
        because="B's gradient goes through A, which is random, and A's through B, which is zero at first. The frozen "
        "ones have none.",
    )  # fmt: skip


def test_gradients_are_those_of_the_formula(solution):
    linear, direction = linear_of(), draw("direction", 2, 5, O)
    layer, x = layer_of(solution, linear), text().requires_grad_()
    (assert_tensor(layer(x), "the output") * direction).sum().backward()
    found = {"the input": x.grad, "`lora_A`": layer.lora_A.grad, "`lora_B`": layer.lora_B.grad}
    leaves = [t.detach().clone().requires_grad_() for t in (x, layer.lora_A, layer.lora_B)]
    right = F.linear(leaves[0], linear.weight.detach() + ALPHA / R * leaves[2] @ leaves[1])
    (right * direction).sum().backward()
    for (name, gradient), leaf in zip(found.items(), leaves, strict=True):
        missing = gradient is None
        assert_close(
            torch.zeros_like(leaf) if missing else gradient, leaf.grad, f"the gradient of {name}", atol=1e-4,
            because="Learning goes through both paths to the input, and through (alpha / r) B A to both matrices: "
            "nothing but the weight and the bias is a constant.",
        )  # fmt: skip


# --- a plain layer again -------------------------------------------------------------------------


def plain(solution, layer, *args):
    """What to_linear gives, after a look at what it is."""
    linear = layer.to_linear(*args)
    kind = type(linear).__name__
    assert_equal(
        kind, "Linear", "the type of what to_linear returns",
        because="It is a new plain nn.Linear, which needs nothing of LoRA's any more.",
    )  # fmt: skip
    return linear


@BIAS
@pytest.mark.parametrize("merge", [True, False], ids=["merge", "no merge"])
def test_to_linear_makes_a_layer_of_the_same_form(solution, bias, merge):
    layer = layer_of(solution, linear_of(bias).double())
    linear = plain(solution, layer, merge)
    found = sorted((name, tuple(p.shape), str(p.dtype), p.is_leaf) for name, p in linear.named_parameters())
    wanted = [("weight", (O, I), "torch.float64", True)]
    assert_equal(
        found, [("bias", (O,), "torch.float64", True)] * bias + wanted,
        "the list of names, shapes, types and is_leaf of to_linear's parameters",
        because="It has a bias if the layer has one, and the type of its weight. Its parameters are ordinary ones: "
        "made under torch.no_grad(), no graph leads back from them to A and B.",
    )  # fmt: skip


@BIAS
def test_the_merged_layer_gives_what_the_layer_gives(solution, bias):
    linear, x = linear_of(bias), text()
    layer = layer_of(solution, linear)
    right = (linear(x) + update_of(layer, x)).detach()
    assert_close(
        plain(solution, layer)(x).detach(), right, "the output of layer.to_linear()", atol=1e-4,
        because="Its weight is W + (alpha / r) B A, and its bias that of the layer: x times that is the sum of both "
        "paths. merge=True is the default.",
    )  # fmt: skip


@BIAS
def test_without_merging_it_is_the_layer_from_before(solution, bias):
    linear = linear_of(bias)
    found = plain(solution, layer_of(solution, linear), False)
    for name, p in linear.named_parameters():
        assert_identical(
            getattr(found, name).detach(), p.detach(), f"`{name}` of layer.to_linear(merge=False), beside the first,",
            because="Without merging it is the frozen weight and bias as they are. An update that was added and taken "
            "away again would leave its rounding behind.",
        )  # fmt: skip


@pytest.mark.parametrize("merge", [True, False], ids=["merge", "no merge"])
def test_to_linear_leaves_the_layer_as_it_is(solution, merge):
    layer, x = layer_of(solution, linear_of().requires_grad_(False)), text()
    before = {name: getattr(layer, name).detach().clone() for name in NAMES}
    out = layer(x).detach().clone()
    linear = plain(solution, layer, merge)
    for name in NAMES:
        assert_identical(
            getattr(layer, name).detach(), before[name], f"`{name}` of the layer, after to_linear,",
            because="The merged weight is new. Were W itself added to, the next call would add the update twice.",
        )  # fmt: skip
    with torch.no_grad():
        linear.weight.add_(1.0)
        linear.bias.add_(1.0)
    assert_close(
        layer(x), out, "the layer's output, after a step of the plain layer that to_linear made,",
        because="Its weight and bias are copies: what trains on in one of the two does not reach the other.",
    )  # fmt: skip
    training = sorted(name for name, p in layer.named_parameters() if p.requires_grad)
    assert_equal(
        training, ["lora_A", "lora_B"], "the list of the layer's parameters that train after to_linear",
        because="The layer goes on as before.",
    )  # fmt: skip


def test_to_linear_leaves_gradients_switched_on(solution):
    layer_of(solution, linear_of()).to_linear()
    assert_true(
        torch.is_grad_enabled(), "to_linear leaves gradients switched off",
        because="torch.no_grad() as a decorator or in a with statement ends with it.",
    )  # fmt: skip
