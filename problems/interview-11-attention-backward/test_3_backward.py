"""Interview 11, third part: what attention_backward promises, from cause to consequence.

Each check gives it the right weights, so that nothing here but the last one hangs on the learner's attention_forward.
Shapes: B batch, H heads, T queries, S keys, D channels of query and key, E channels of a value.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_repeatable,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.attending import assert_works_elsewhere, pair_of
from common.testing.comparisons import assert_layout_is_free
from common.testing.dtypes import assert_half_precision

B, H, T, S, D, E = 2, 3, 5, 7, 4, 6
AXES = {"H": H, "D": D}
NAMES = ("grad_q", "grad_k", "grad_v")
CALL = "attention_backward(grad_out, q, k, v, weights)"
BOTH = pytest.mark.parametrize("causal", [False, True])
EACH = pytest.mark.parametrize("name", NAMES)


def weights_of(q, k, causal):
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if causal:
        hidden = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        scores = scores.masked_fill(hidden, -torch.inf)
    return torch.softmax(scores, -1)


def tensors(causal=False, lead=(B, H), d=D, t=T):
    """grad_out, q, k, v."""
    s = t if causal else S
    q, k = draw("q", *lead, T=t, D=d), draw("k", *lead, s, d)
    return draw("grad", *lead, t, E=E), q, k, draw("v", *lead, s, E)


def backward(solution, grad_out, q, k, v, weights):
    """The three gradients by name, after a look at their form."""
    return named(solution.attention_backward(grad_out, q, k, v, weights))


def named(found):
    three = isinstance(found, tuple | list) and len(found) == 3
    observe(f"{CALL} returns three", three)
    if not three:
        got = f"{len(found)} of them" if isinstance(found, tuple | list) else f"a {type(found).__name__}"
        fail(
            f"{CALL} should return three tensors:", expected="grad_q, grad_k, grad_v", got=got,
            because="All three go back, in the order of q, k and v: `return grad_q, grad_k, grad_v`.",
        )
    return {name: assert_tensor(grad, name) for name, grad in zip(NAMES, found, strict=True)}


def autograds(grad_out, q, k, v, causal):
    """What autograd gives for torch's attention, by name."""
    leaves = [x.clone().requires_grad_() for x in (q, k, v)]
    out = F.scaled_dot_product_attention(*leaves, is_causal=causal)
    return dict(zip(NAMES, torch.autograd.grad(out, leaves, grad_out), strict=True))


class SideBySide(nn.Module):
    """attention_backward as a module that returns the three gradients in one tensor, one flat part after another."""

    def __init__(self, solution):
        super().__init__()
        self.backward = solution.attention_backward

    def forward(self, *inputs):
        return torch.cat([grad.flatten(-2) for grad in named(self.backward(*inputs)).values()], -1)


def with_weights(causal=True):
    grad_out, q, k, v = tensors(causal)
    return grad_out, q, k, v, weights_of(q, k, causal)


class Graphs(TorchFunctionMode):
    """Counts the results that require a gradient."""

    def __init__(self):
        super().__init__()
        self.tracked = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.tracked += isinstance(result, torch.Tensor) and result.requires_grad
        return result


# --- what others stand on ------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("lead", [(B, H), (), (H,), (B, 1, H)], ids=str)
def test_each_gradient_has_the_shape_of_its_tensor(solution, lead, causal):
    grad_out, q, k, v = tensors(causal, lead)
    found = backward(solution, grad_out, q, k, v, weights_of(q, k, causal))
    for (name, grad), shape in zip(found.items(), (q.shape, k.shape, v.shape), strict=True):
        assert_shape(
            grad, shape, name,
            because="The three come in the order q, k, v, and a gradient has the shape of its tensor: q is (..., T, "
            "D), k (..., S, D) and v (..., S, E).",
        )


def test_backward_leaves_its_inputs_alone(solution):
    assert_input_untouched(SideBySide(solution), *with_weights(), what="attention_backward")


def test_backward_gives_the_same_twice(solution):
    assert_repeatable(SideBySide(solution), *with_weights(), what="what attention_backward gives")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_backward_answers_in_the_type_of_its_inputs(solution, dtype):
    found = backward(solution, *(x.to(dtype) for x in with_weights()))
    assert_equal(
        {name: str(grad.dtype) for name, grad in found.items()}, dict.fromkeys(NAMES, str(dtype)),
        f"the dtypes for inputs in {dtype}",
        because="A gradient has the type of its tensor; what was cast to compute in is cast back.",
    )


def test_backward_works_in_half_precision(solution):
    assert_half_precision(SideBySide(solution), *with_weights())


def test_backward_works_on_another_device(solution):
    assert_works_elsewhere(SideBySide(solution), *with_weights(), what="attention_backward")


def test_backward_takes_tensors_in_any_order_of_memory(solution):
    assert_layout_is_free(
        SideBySide(solution), *with_weights(), what="what attention_backward gives for non-contiguous inputs"
    )


def test_backward_needs_no_graph(solution):
    inputs = with_weights()
    with Graphs() as graphs:
        solution.attention_backward(*inputs)
    assert_equal(
        graphs.tracked > 0, False, "whether a tensor in attention_backward requires a gradient",
        because="The task is to write the backward pass without autograd, from the formulas.",
    )


# --- the way back, step by step ------------------------------------------------------------------


def test_equal_weights_share_out_the_gradient_among_the_values(solution):
    grad_out, q, k, v = tensors()
    k = torch.zeros_like(k)
    grad_v = backward(solution, grad_out, q, k, v, weights_of(q, k, False))["grad_v"]
    right = grad_out.mean(-2, keepdim=True).expand(v.shape) * T / S
    assert_close(
        grad_v, right, "grad_v when all weights are 1 / S",
        because="Each value has a share of 1 / S in the out of every query, so its gradient is the sum of all rows of "
        "grad_out, divided by S.",
    )


@BOTH
def test_a_value_gets_the_gradients_of_its_queries(solution, causal):
    grad_out, q, k, v = tensors(causal)
    weights = weights_of(q, k, causal)
    right = autograds(grad_out, q, k, v, causal)["grad_v"]
    assert_close(
        backward(solution, grad_out, q, k, v, weights)["grad_v"], right, f"grad_v, causal={causal},",
        because="Value s is in out t with the weight [t, s]. So its gradient is the sum over the queries t of that "
        "weight times grad_out[t]; no softmax is in the way.",
    )


@pytest.mark.parametrize("name", NAMES[:2])
def test_equal_values_leave_queries_and_keys_without_a_gradient(solution, name):
    grad_out, q, k, v = tensors()
    v = v[..., :1, :].expand(v.shape).contiguous()
    found = backward(solution, grad_out, q, k, v, weights_of(q, k, False))
    assert_close(
        found[name], torch.zeros_like(found[name]), f"{name} when all values are equal",
        because="Then out is that value whatever the weights are, so no score has any effect: all entries of a row of "
        "grad_weights are equal, and the gradient of a softmax takes their mean away.",
    )


def test_keys_of_zero_leave_queries_without_a_gradient(solution):
    grad_out, q, k, v = tensors()
    k = torch.zeros_like(k)
    found = backward(solution, grad_out, q, k, v, weights_of(q, k, False))
    assert_close(
        found["grad_q"], torch.zeros_like(q), "grad_q when all keys are 0",
        because="Every score is then 0 whatever the queries are. A score is q · k / sqrt(D), so a query's gradient is "
        "made of the keys.",
    )


def test_queries_of_zero_leave_keys_without_a_gradient(solution):
    grad_out, q, k, v = tensors()
    q = torch.zeros_like(q)
    found = backward(solution, grad_out, q, k, v, weights_of(q, k, False))
    assert_close(
        found["grad_k"], torch.zeros_like(k), "grad_k when all queries are 0",
        because="Every score is then 0 whatever the keys are. A score is q · k / sqrt(D), so a key's gradient is made "
        "of the queries.",
    )


@pytest.mark.parametrize("name", NAMES[:2])
def test_a_single_token_has_nothing_to_choose(solution, name):
    grad_out, q, k, v = tensors(causal=True, t=1)
    found = backward(solution, grad_out, q, k, v, weights_of(q, k, True))
    assert_close(
        found[name], torch.zeros_like(q), f"{name} for one query and one key",
        because="The only weight is 1 whatever the score is.",
    )


@pytest.mark.parametrize("d", [D, 1, 16])
@pytest.mark.parametrize("name", NAMES[:2])
def test_the_scale_is_on_the_way_back_too(solution, name, d):
    # One query, two keys: grad_q is grad_score[0] · (k[0] - k[1]), and grad_k[0] is grad_score[0] · q.
    grad_out, q, _, v = tensors(lead=(), t=1, d=d)
    k, v = torch.stack([torch.ones_like(q[0]), torch.zeros_like(q[0])]), v[:2]
    weights = weights_of(q, k, False)
    found = backward(solution, grad_out, q, k, v, weights)[name]
    slope = (weights.prod() * (grad_out[0] * (v[0] - v[1])).sum() / d**0.5).expand(d)
    right = slope[None] if name == "grad_q" else torch.stack([slope * q[0], -slope * q[0]])
    assert_close(
        found, right, f"{name} with D = {d}",
        because=f"scores = q · k / sqrt(D), so the division by the root of {d}, the channels of a query, comes once "
        "on the way to grad_q, and once on the way to grad_k.",
    )


@BOTH
@EACH
@pytest.mark.parametrize("lead", [(), (B, H)], ids=str)
def test_each_gradient_is_what_autograd_gives(solution, lead, name, causal):
    grad_out, q, k, v = tensors(causal, lead)
    right = autograds(grad_out, q, k, v, causal)[name]
    assert_close(
        backward(solution, grad_out, q, k, v, weights_of(q, k, causal))[name], right, f"{name}, causal={causal},",
        because="Autograd through F.scaled_dot_product_attention gives the expected value: back through out = weights "
        "@ v, through the softmax, through the scale, and through scores = q @ k.mT.",
        atol=5e-5,
    )


# --- causality, rows, edges ----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_hidden_key_gets_nothing(solution, name):
    grad_out, q, k, v = tensors(causal=True)
    grad_out[..., 3:, :] = 0.0
    found = backward(solution, grad_out, q, k, v, weights_of(q, k, True))[name][..., 3:, :]
    assert_close(
        found, torch.zeros_like(found), f"{name} of tokens 3 and 4 when the loss comes from out 0 to 2 alone",
        because="Queries 0 to 2 do not see these tokens: their weights are 0, and so are their scores' gradients.",
    )


def test_the_rows_of_a_batch_do_not_touch_each_other(solution):
    one = with_weights()
    other = [x.clone() for x in one]
    for i, x in enumerate(other):
        x[1] = draw(f"other {i}", *x.shape[1:]).softmax(-1)
    before = SideBySide(solution)(*one)
    assert_close(
        SideBySide(solution)(*other)[0], before[0], "the gradients of batch row 0, after changing only row 1,",
        because="Each text and each head is an attention of its own; all products and sums run over the last two axes.",
    )


@EACH
def test_large_scores_give_finite_gradients(solution, name):
    grad_out, q, k, v = tensors(causal=True)
    q = q * 1e4
    weights = weights_of(q, k, True)
    right = autograds(grad_out, q, k, v, True)[name]
    found = backward(solution, grad_out, q, k, v, weights)[name]
    assert_true(
        bool(found.isfinite().all()), f"{name} is NaN or infinite for scores around 1e4",
        because="The weights are then 0 and 1 almost everywhere, which no product minds; exp of such scores, a "
        "logarithm of a weight or a division by one would.",
    )
    # grad_k is a sum of queries in the ten thousands, with rounded weights as factors.
    assert_close(
        found, right, f"{name} for scores around 1e4", atol=1.0 if name == "grad_k" else 1e-3, rtol=1e-2,
        because="A weight of 0 or 1 does not move: such a row gives no gradient to scores, and a value gets that of "
        "the query that has chosen it.",
    )


def test_a_backward_pass_may_belong_to_an_earlier_forward_pass(solution):
    grad_out, q, k, v = tensors(causal=True)
    right = autograds(grad_out, q, k, v, True)
    _, weights = pair_of(solution.attention_forward(q, k, v), "attention_forward(q, k, v)")
    solution.attention_forward(*(draw(f"later {n}", 3, 4) for n in "qkv"))
    for name, grad in backward(solution, grad_out, q, k, v, weights).items():
        assert_close(
            grad, right[name], f"{name}, from your own weights, after another forward pass,",
            because="The backward pass follows from its five arguments; what a forward pass leaves behind, on a global "
            "name or a function, may be another one's.", atol=5e-5,
        )
