"""Checks of a feed-forward layer with GPT-2's names c_fc and c_proj."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.testing.asserts import assert_close

# GELU in its two forms differs by up to 4.7e-4; two ways to write one form by 5e-7 (measured between -6 and 6).
GELU_ATOL = 2e-6


def assert_activation(model: Any, x: Tensor) -> None:
    """Check (B, T, C) with both layers as identity: only what stands between them is left to see."""
    right = F.gelu(x, approximate="tanh")
    with torch.no_grad():
        for layer in (model.c_fc, model.c_proj):
            layer.bias.zero_()
            layer.weight.copy_(torch.eye(*layer.weight.shape))
        assert_close(
            model(x),
            right,
            "the output when both layers hand on what they get",
            because="What is left of c_fc, GELU and c_proj is then the GELU alone, in its tanh form and once, without "
            "a norm before it and without x added.",
            atol=GELU_ATOL,
        )
