"""Checks of a feed-forward layer with GPT-2's names c_fc and c_proj. C n_embd."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.testing.asserts import assert_close, assert_tensor


def assert_activation(model: Any, x: Tensor) -> None:
    """Check with both layers as identity: only what stands between them is left to see."""
    with torch.no_grad():
        for layer in (model.c_fc, model.c_proj):
            layer.bias.zero_()
            layer.weight.copy_(torch.eye(*layer.weight.shape))
        out = assert_tensor(model(x), "the output")
    right = F.gelu(x, approximate="tanh")
    usual = {
        "The output is x itself: there is no activation, and two linear layers in a row are no more than one.": x,
        "The activation is applied twice. It stands once, between c_fc and c_proj.": F.gelu(
            right, approximate="tanh"
        ),
        "The activation is ReLU; GPT-2 uses GELU in its tanh form.": x.relu(),
        "The activation is SiLU; GPT-2 uses GELU in its tanh form.": F.silu(x),
        "The activation is tanh; GPT-2 uses GELU in its tanh form.": x.tanh(),
        "The activation is x * sigmoid(1.702 x); GPT-2 uses GELU in its tanh form.": x
        * torch.sigmoid(1.702 * x),
        "The activation is the exact GELU, with erf. GPT-2 was trained with the tanh approximation (approximate='tanh').": F.gelu(
            x
        ),
        "The input is normalised first: that is the block's business, not the feed-forward layer's.": F.gelu(
            F.layer_norm(x, x.shape[-1:]), approximate="tanh"
        ),
        "The input is added to the output: the residual connection is the block's business.": x
        + right,
    }
    says = next(
        (
            s
            for s, y in usual.items()
            if out.shape == y.shape and torch.allclose(out, y, atol=2e-6, rtol=1e-5)
        ),
        "c_fc, GELU in its tanh form, c_proj, and nothing else: with both layers as identity the output is gelu(x).",
    )
    assert_close(
        out, right, "the output when both layers are the identity", because=says, atol=2e-6
    )
