"""GPT-2's blocks by the contract's names, on their parameters alone: what training and decoding share.

B batch, T tokens, C width, H heads, D = C // H.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor

Linear = Callable[[Tensor, Tensor, Tensor | None], Tensor]  # x, weight, bias -> x @ weight.T + bias
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # layer, q, k, v (B, H, T, D) -> the same


def through_blocks(
    model: Any, x: Tensor, attend: Attend, *, drop: float = 0.0, linear: Linear = F.linear
) -> Tensor:
    """What the blocks make of x (B, T, C); the last norm is the caller's.

    Args:
        attend: mixes the values of a layer. drop: the rate of dropout on what each sublayer adds.
    """
    heads, eps = model.config.n_head, model.config.layer_norm_epsilon
    B, T, _ = x.shape
    for layer, block in enumerate(model.h):
        attn, mlp = block.attn, block.mlp
        y = F.layer_norm(x, x.shape[-1:], block.ln_1.weight, block.ln_1.bias, eps)
        qkv = linear(y, attn.c_attn.weight, attn.c_attn.bias).view(B, T, 3, heads, -1)
        y = attend(layer, *qkv.permute(2, 0, 3, 1, 4))
        y = linear(y.transpose(1, 2).reshape(B, T, -1), attn.c_proj.weight, attn.c_proj.bias)
        x = x + (F.dropout(y, drop) if drop else y)
        y = F.layer_norm(x, x.shape[-1:], block.ln_2.weight, block.ln_2.bias, eps)
        y = F.gelu(linear(y, mlp.c_fc.weight, mlp.c_fc.bias), approximate="tanh")
        y = linear(y, mlp.c_proj.weight, mlp.c_proj.bias)
        x = x + (F.dropout(y, drop) if drop else y)
    return x


def last_norm(model: Any, x: Tensor) -> Tensor:
    """ln_f of x."""
    eps = model.config.layer_norm_epsilon
    return F.layer_norm(x, x.shape[-1:], model.ln_f.weight, model.ln_f.bias, eps)
