"""Checks of multi-head attention with GPT-2's layers c_attn and c_proj, causal or not.

Each sets some weights so that one property alone decides the output. B batch, T tokens, C n_embd,
H n_head, D = C // H.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.testing.asserts import assert_close, assert_gradients, assert_tensor, assert_true, fail
from common.testing.context import observe
from common.testing.dropout import assert_dropped, assert_drops_anew
from common.testing.modules import draw

# --- values, weights, heads ----------------------------------------------------------------------


def assert_single_token_gets_its_value(model: Any, x: Tensor) -> None:
    """Check (B, 1, C): with one token every weight is 1, so no score, scale or mask can matter."""
    C = x.size(-1)
    with torch.no_grad():
        right = model.c_proj(model.c_attn(x)[..., 2 * C :])
        assert_close(
            model(x),
            right,
            "the output for a single token",
            because="A single token gives itself the weight 1, so its output is its own value put through c_proj; "
            f"the value is the last {C} of the {3 * C} channels of c_attn's output.",
        )


def assert_weights_sum_to_one(model: Any, x: Tensor) -> None:
    """Check with all values 1: then the output is the sum of a token's weights, whoever sees whom."""
    with torch.no_grad():
        assert_close(
            _show_weights(model).eval()(x),
            torch.ones_like(x),
            "the output when all values are 1 and c_proj hands on what it gets",
            because="A token shares out its attention among the keys that it sees: its weights in each head sum to 1, "
            "and 1 is what comes out.",
        )


def assert_heads_stay_in_their_channels(model: Any, x: Tensor, n_head: int) -> None:
    """Check with c_proj as identity: channels h * D to (h + 1) * D of the output belong to head h."""
    C = x.size(-1)
    D = C // n_head
    with torch.no_grad():
        model.c_proj.weight.copy_(torch.eye(C))
        before = assert_tensor(model(x), "the output")
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
                because=f"Head {head} has channels {head * D} to {(head + 1) * D - 1} of each token's value, and its "
                "result goes back to where they came from: weights that sum to 1 add exactly 1 there, and nothing "
                "elsewhere.",
            )


def assert_equal_scores_average(model: Any, x: Tensor, *, causal: bool) -> None:
    """Check with keys of zero: all scores are 0, so a token's output is the plain average of what it sees."""
    T, C = x.shape[1:]
    with torch.no_grad():
        model.c_attn.weight[C : 2 * C] = 0
        model.c_attn.bias[C : 2 * C] = 0
        value = model.c_attn(x)[..., 2 * C :]
        if causal:
            average = value.cumsum(1) / torch.arange(1, T + 1, device=x.device).view(T, 1)
            seen = "token t gets the average of values 0 to t"
        else:
            average = value.mean(1, keepdim=True).expand_as(value)
            seen = "every token gets the average of all values"
        right = model.c_proj(average)
        assert_close(
            model(x),
            right,
            "the output when all scores are equal",
            because=f"With keys of 0 every score is 0 and the weights are equal, so {seen}, put through c_proj.",
        )


def assert_score_scale(model: Any, x: Tensor, n_head: int) -> None:
    """Check (B, 2, C): the share that token 1 gives to token 0 tells the difference of two scores."""
    B, T, C = x.shape
    D = C // n_head
    with torch.no_grad():
        # Small scores, so that neither weight is too near to 0 to be read.
        model.c_attn.weight[:C] *= 0.25
        model.c_attn.bias[:C] *= 0.25
        q, k, v = (t.view(B, T, n_head, D) for t in model.c_attn(x).chunk(3, dim=-1))
        right = (q[:, 1] * (k[:, 0] - k[:, 1])).sum(-1) / D**0.5
        model.c_proj.weight.copy_(torch.eye(C))
        model.c_proj.bias.zero_()
        out = assert_tensor(model(x), "the output")[:, 1].view(B, n_head, D)
        # Read where the two values differ most.
        channel = (v[:, 0] - v[:, 1]).abs().argmax(-1, keepdim=True)
        share = ((out - v[:, 1]) / (v[:, 0] - v[:, 1])).gather(-1, channel)[..., 0]
        measured = torch.log(share / (1 - share))
    assert_close(
        measured,
        right,
        "score(1, 0) - score(1, 1) in each head, read back from token 1's two weights,",
        because=f"A score is q·k / sqrt(D): query 1 times the key that is asked, over the root of {D}, the channels of "
        "a head; the logarithm of the ratio of two weights is the difference of their scores.",
        atol=5e-3,  # the logarithm of a share near 0 or 1 magnifies float32's rounding by the share's inverse
        rtol=1e-3,
    )


# --- the whole -----------------------------------------------------------------------------------


def assert_equals_torchs_attention(model: Any, x: Tensor, n_head: int, *, causal: bool) -> None:
    """Check against F.scaled_dot_product_attention on the learner's own c_attn and c_proj."""
    with torch.no_grad():
        right = model.c_proj(_attended(model.c_attn(x), n_head, causal=causal))
        assert_close(
            model(x),
            right,
            "the output",
            because="It is what F.scaled_dot_product_attention makes of the queries, keys and values of your own "
            "c_attn, with its heads merged and put through your own c_proj.",
        )


def about_large_scores(found: Any) -> str:
    """What may be behind a wrong result for scores in the thousands: an overflow only where there is one."""
    if isinstance(found, Tensor) and bool(found.isfinite().all()):
        return (
            "With scores in the thousands each row's weight lies almost whole on its largest open score, so a mask, a "
            "scale, a maximum or a clamp that is only nearly right shows here."
        )
    return (
        "exp(89) is more than float32 can hold, and exp(-104) is 0. A softmax that subtracts each row's own maximum "
        "first, as torch.softmax does, needs no number above exp(0); a maximum over more than the row, or over "
        "closed scores too, leaves 0 / 0 in the rows that lie far below it."
    )


def assert_large_scores(model: Any, x: Tensor, n_head: int, *, causal: bool) -> None:
    """Check with scores in the thousands, where exp overflows."""
    x = 60 * x
    with torch.no_grad():
        right = _attended(model.c_attn(x).double(), n_head, causal=causal).to(x.dtype)
        right = model.c_proj(right)
        assert_close(
            out := model(x),
            right,
            "the output when scores are in the thousands",
            because=about_large_scores(out),
            # A score of 10,000 is rounded by 1e-3, which moves a weight by as much, and values are in the hundreds.
            atol=1.0,
        )
    model.zero_grad()
    model(x).sum().backward()
    odd = [
        n for n, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()
    ]
    observe("gradients that are no numbers", odd)
    if odd:
        fail(
            f"the gradient of `{odd[0]}` is not a number when scores are in the thousands:",
            expected="finite numbers, as in the output",
            got="NaN or infinity",
            because="What is thrown away later still lies on the way back: exp of a closed score is infinite, and "
            "backward() makes 0 * inf = NaN of it. Close the scores with -inf before exp, not what exp gives."
            if causal
            else "A step on the way is infinite there, and backward() makes NaN of it.",
        )


def assert_learns_with_dropout(model: Any, x: Tensor) -> None:
    """Check that backward() goes through in train mode, with rates above 0."""
    out = assert_tensor(model.train()(x), "the output")
    try:
        out.sum().backward()
    except RuntimeError as error:
        observe("backward() in train mode", str(error))
        fail(
            "backward() fails in train mode with dropout:",
            expected="gradients",
            got=f"RuntimeError: {str(error).split(chr(10))[0][:110]}",
            because="The way back needs numbers as they were on the way forth, and softmax keeps its own weights for "
            "that. Dropout with inplace=True, a method that ends in _ or `weights *= ...` writes over them.",
        )


def assert_every_head_learns(model: Any, x: Tensor) -> None:
    """Check that the gradient reaches every parameter, and every row of c_attn."""
    C = x.size(-1)
    (assert_tensor(model(x), "the output") * draw("direction", *x.shape)).sum().backward()
    assert_gradients(model, "the output", again=lambda: model(x))
    idle = (model.c_attn.weight.grad.norm(dim=-1) == 0).nonzero().flatten().tolist()
    assert_true(
        not idle,
        f"row {idle[0] if idle else 0} of c_attn.weight gets no gradient",
        because=f"Rows 0 to {C - 1} make queries, {C} to {2 * C - 1} keys, {2 * C} to {3 * C - 1} values, and every "
        "head uses its own. Nothing of them is left out, and nothing is taken off the way back: by detach(), .data or "
        "torch.no_grad(), as on what is kept for later.",
    )


# --- dropout -------------------------------------------------------------------------------------


def assert_only_weights_are_dropped(model: Any) -> None:
    """Check a model whose attn_pdrop is above 0 and whose resid_pdrop is 0."""
    C = model.c_proj.weight.size(0)
    with torch.no_grad():
        model.c_proj.weight.zero_()
        right = model.c_proj.bias.copy_(torch.arange(1.0, C + 1)).expand(2, 7, C).clone()
        out = assert_tensor(model.train()(draw("x", 2, 7, C)), "the output")
    observe("levels of the output", [round(v, 3) for v in out.unique().tolist()[:9]])
    assert_close(
        out,
        right,
        "the output in train mode when c_proj gives its bias alone and resid_pdrop is 0",
        because="attn_pdrop is the rate of attn_dropout, which acts on the attention weights; what comes out of "
        "c_proj is dropped by resid_dropout alone, at the rate resid_pdrop.",
        record=False,
    )


def assert_attn_dropout(model: Any, n_head: int, rate: float) -> None:
    """Check a model whose attn_pdrop is `rate` and whose resid_pdrop is 0."""
    C = model.c_proj.weight.size(0)
    x = draw("x", 2, 7, C)
    numbered = torch.arange(1.0, C + 1, device=x.device)
    with torch.no_grad():
        observe("train mode is random", not torch.equal(model.train()(x), model(x)))
        # Each channel has a value of its own, so that what is dropped shows in many numbers.
        _show_weights(model).c_attn.bias[2 * C :] = numbered
        out = assert_tensor(model.train()(draw("x", 400, 1, C)), "the output") / numbered
    observe("levels of all channels", [round(v, 3) for v in (out * numbered).unique().tolist()[:9]])
    out = out.view(400, n_head, -1)
    assert_dropped(
        out[..., 0],
        1.0,
        rate,
        "the attention weights",
        because="attn_dropout has the rate attn_pdrop and is applied to the weights, after the softmax and before "
        f"they meet the values. attn_pdrop is {rate:g} here, and resid_pdrop is 0.",
    )
    assert_drops_anew(model, x, what="the output")
    assert_close(
        out,
        out[..., :1].expand_as(out),
        "what is left of a head's channels with dropout, compared with its first one,",
        because="attn_dropout acts on the weights, and a weight that is dropped takes the whole value with it, all D "
        "channels at once.",
    )


def assert_resid_dropout(model: Any, rate: float) -> None:
    """Check a model whose resid_pdrop is `rate` and whose attn_pdrop is 0."""
    C = model.c_proj.weight.size(0)
    numbered = torch.arange(1.0, C + 1, device=model.c_proj.weight.device)
    with torch.no_grad():
        _show_weights(model).c_proj.bias.copy_(numbered)
        out = model.train()(draw("x", 100, 2, C))
    assert_dropped(
        out,
        1 + numbered,
        rate,
        "the output",
        because="resid_dropout has the rate resid_pdrop and is the last step, after c_proj.",
    )


def _show_weights(model: Any) -> Any:
    """Values of 1 and c_proj as identity, so that a token's output shows the sum of its own weights."""
    C = model.c_proj.weight.size(0)
    with torch.no_grad():
        model.c_attn.weight[2 * C :] = 0
        model.c_attn.bias[2 * C :] = 1
        model.c_proj.weight.copy_(torch.eye(C))
        model.c_proj.bias.zero_()
    return model


def _attended(qkv: Tensor, n_head: int, *, causal: bool) -> Tensor:
    """(B, T, 3C) -> (B, T, C), by PyTorch's own attention."""
    q, k, v = (t.unflatten(-1, (n_head, -1)).transpose(1, 2) for t in qkv.chunk(3, dim=-1))
    heads = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return heads.transpose(1, 2).flatten(2)
