"""Checks of multi-head attention with GPT-2's layers c_attn and c_proj, causal or not.

Each sets some weights so that one property alone decides the output. B batch, T tokens, C n_embd,
H n_head, D = C // H.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.testing.asserts import (
    assert_close,
    assert_gradients,
    assert_identical,
    assert_tensor,
    assert_true,
)
from common.testing.context import observe
from common.testing.dropout import assert_dropped
from common.testing.modules import draw


def assert_single_token_gets_its_value(model: Any, x: Tensor) -> None:
    """Check (B, 1, C): with one token every weight is 1, so no score, scale or mask can matter."""
    C = x.size(-1)
    with torch.no_grad():
        query, key, value = model.c_attn(x).split(C, dim=-1)
        right = model.c_proj(value)
        out = assert_tensor(model(x), "the output")
        usual = {
            "c_proj is not applied: the value itself comes out.": value,
            "c_proj is applied twice.": model.c_proj(right),
            "The input is added to the output: the residual connection is the block's business.": x
            + right,
            "The first third of c_attn's output is taken for the values; the order is query, key, value.": model.c_proj(
                query
            ),
            "The second third of c_attn's output is taken for the values; the order is query, key, value.": model.c_proj(
                key
            ),
            "The input itself is mixed instead of the values.": model.c_proj(x),
        }
    says = next(
        (s for s, y in usual.items() if out.shape == y.shape and torch.allclose(out, y, atol=1e-4)),
        "",
    )
    assert_close(
        out,
        right,
        "the output for a single token",
        because=says
        or "One token can only attend to itself, with weight 1, so its output is c_proj(its value). Check that c_attn's "
        "output is cut into query, key, value in that order, all heads of each together, and that c_proj is applied.",
    )


def assert_equal_scores_average(model: Any, x: Tensor, *, causal: bool) -> None:
    """Check with keys of zero: all scores are 0, so only mask, softmax and the cutting of heads are left."""
    T, C = x.shape[1:]
    with torch.no_grad():
        model.c_attn.weight[C : 2 * C] = 0
        model.c_attn.bias[C : 2 * C] = 0
    value = model.c_attn(x)[..., 2 * C :]
    if causal:
        average = value.cumsum(1) / torch.arange(1, T + 1, device=x.device).view(T, 1)
        because = (
            "Token t must then get the average of values 0 to t, put through c_proj. If only later tokens are off, the weights "
            "do not sum to 1: mask with -inf before the softmax, softmax over the keys (dim=-1). "
        )
    else:
        average = value.mean(1, keepdim=True).expand_as(value)
        because = (
            "Every token must then get the average of all values, put through c_proj: nothing is masked in this problem, "
            "and softmax runs over the keys (dim=-1). "
        )
    assert_close(
        model(x),
        model.c_proj(average),
        "the output when all scores are equal",
        because=because + "If all are off, heads are cut or merged along the wrong axes.",
    )


def assert_heads_stay_in_their_channels(model: Any, x: Tensor, n_head: int) -> None:
    """Check with c_proj as identity: channels h * D to (h + 1) * D of the output belong to head h."""
    C = x.size(-1)
    D = C // n_head
    with torch.no_grad():
        model.c_proj.weight.copy_(torch.eye(C))
        before = model(x)
        for head in range(n_head):
            cut = slice(2 * C + head * D, 2 * C + (head + 1) * D)
            model.c_attn.bias[cut] += 1.0
            shift = model(x) - before
            model.c_attn.bias[cut] -= 1.0
            expected = torch.zeros(C, device=x.device)
            expected[head * D : (head + 1) * D] = 1.0
            assert_close(
                shift,
                expected.expand_as(x),
                f"the change of the output when head {head}'s values grow by 1",
                because=f"Weights that sum to 1 add exactly 1 to channels {head * D} to {(head + 1) * D - 1} and nothing elsewhere. "
                "Heads are cut with view(B, T, H, D) and transpose(1, 2), and merged with the reverse.",
            )


def assert_score_scale(model: Any, x: Tensor, n_head: int) -> None:
    """Check (B, 2, C): the share that token 1 gives to token 0 tells the difference of two scores."""
    B, T, C = x.shape
    D = C // n_head
    with torch.no_grad():
        q, k, v = (t.view(B, T, n_head, D) for t in model.c_attn(x).chunk(3, dim=-1))
        model.c_proj.weight.copy_(torch.eye(C))
        model.c_proj.bias.zero_()
        out = model(x)[:, 1].view(B, n_head, D)
        channel = (
            (v[:, 0] - v[:, 1]).abs().argmax(-1, keepdim=True)
        )  # where the two values differ most
        share = ((out - v[:, 1]) / (v[:, 0] - v[:, 1])).gather(-1, channel)[..., 0]
        measured = torch.log(share / (1 - share))  # score(1, 0) - score(1, 1)
        plain = (q[:, 1] * (k[:, 0] - k[:, 1])).sum(-1)
        reverse = (k[:, 1] * (q[:, 0] - q[:, 1])).sum(-1)
    factor = float((measured * plain).sum() / plain.square().sum())
    names = {
        "not scaled at all": 1.0,
        "divided by D instead of sqrt(D)": 1 / D,
        "divided by sqrt(C), the width of the model": C**-0.5,
        "divided by C": 1 / C,
        "divided by sqrt(H), the number of heads": n_head**-0.5,
        "divided by sqrt(T), the length of the text": T**-0.5,
        "multiplied by sqrt(D)": D**0.5,
        "divided by D ** 0.25": D**-0.25,
    }
    likely = next((name for name, f in names.items() if abs(factor / f - 1) < 0.01), "")
    if not torch.isfinite(measured).all():
        because = "Token 1's weights are not a softmax over its two scores."
    elif abs(factor) < 1e-3:
        because = "The scores do not depend on which key is asked: every query has to meet every key, q @ k transposed."
    elif n_head > 1 and torch.allclose(
        measured, measured[:, :1].expand_as(measured), rtol=1e-3, atol=1e-3
    ):
        because = "All heads weigh alike: the channels are not cut into heads, n_head is ignored, or heads share queries and keys."
    elif torch.allclose(measured, reverse / D**0.5, rtol=0.01, atol=0.01):
        because = (
            "Query and key are swapped: the first C channels of c_attn's output are queries, the next C keys, "
            "and scores[i, j] is query i times key j."
        )
    else:
        because = (
            f"Scores are q·k / sqrt(D), which is q·k times {D**-0.5:.3g} here (D = {D}, C = {C}, H = {n_head}, T = {T}); "
            f"yours are about q·k times {factor:.3g}" + (f": they are {likely}." if likely else ".")
        )
    assert_close(
        measured,
        plain / D**0.5,
        "the difference of two scores of token 1, read back from its weights",
        because=because,
        atol=5e-3,  # the logarithm of a share near 0 or 1 magnifies float32's rounding by the share's inverse
        rtol=1e-3,
    )


def assert_equals_torchs_attention(model: Any, x: Tensor, n_head: int, *, causal: bool) -> None:
    """Check against F.scaled_dot_product_attention on the learner's own c_attn and c_proj."""
    B, T, C = x.shape
    q, k, v = (t.view(B, T, n_head, -1).transpose(1, 2) for t in model.c_attn(x).chunk(3, dim=-1))
    heads = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    assert_close(
        model(x),
        model.c_proj(heads.transpose(1, 2).reshape(B, T, C)),
        "the output",
        because="F.scaled_dot_product_attention on the queries, keys and values of your own c_attn gives the expected value.",
    )


def _show_weights(model: Any) -> Any:
    """Values of 1 and c_proj as identity, so that a single token's output shows its own weights."""
    C = model.c_proj.weight.size(0)
    with torch.no_grad():
        model.c_attn.weight[2 * C :] = 0
        model.c_attn.bias[2 * C :] = 1
        model.c_proj.weight.copy_(torch.eye(C))
        model.c_proj.bias.zero_()
    return model.train()


def assert_attn_dropout(model: Any, n_head: int, rate: float) -> None:
    """Check a model whose attn_pdrop is `rate` and whose resid_pdrop is 0."""
    C = model.c_proj.weight.size(0)
    x = draw("x", 2, 3, C)
    with torch.no_grad():
        observe("train mode is random", not torch.equal(model.train()(x), model(x)))
    out = _show_weights(model)(draw("x", 400, 1, C)).view(400, n_head, -1)
    assert_dropped(
        out[..., 0],
        1.0,
        rate,
        "the attention weights",
        because="attn_dropout has the rate attn_pdrop and is applied to the weights, after the softmax and before they meet the values.",
    )
    assert_identical(
        out,
        out[..., :1].expand_as(out),
        "channel 0 of a head's output, compared with the head's other channels,",
        because="A dropped weight takes the whole value with it, all D channels at once. Dropout on the values or on the output "
        "drops single channels: apply attn_dropout to the weights.",
    )


def assert_resid_dropout(model: Any, rate: float) -> None:
    """Check a model whose resid_pdrop is `rate` and whose attn_pdrop is 0."""
    model = _show_weights(model)
    with torch.no_grad():
        model.c_proj.bias.fill_(1.0)
    assert_dropped(
        model(draw("x", 100, 2, model.c_proj.weight.size(0))),
        2.0,
        rate,
        "the output",
        because="resid_dropout has the rate resid_pdrop and is the last step, after c_proj.",
    )


def assert_every_head_learns(model: Any, x: Tensor) -> None:
    """Check that the gradient reaches every parameter, and every row of c_attn."""
    C = x.size(-1)
    (model(x) * draw("direction", *x.shape)).sum().backward()
    assert_gradients(model, "the output")
    idle = (model.c_attn.weight.grad.norm(dim=-1) == 0).nonzero().flatten().tolist()
    assert_true(
        not idle,
        f"row {idle[0] if idle else 0} of c_attn.weight gets no gradient",
        because=f"Rows 0 to {C - 1} make queries, {C} to {2 * C - 1} keys, {2 * C} to {3 * C - 1} values, and every head uses its own.",
    )
