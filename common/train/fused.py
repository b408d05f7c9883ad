"""The model's own forward, with its parts exchanged for torch's fused kernels on the same parameters.

Whatever model has the contract's names will do, the learner's own too: its forward still says in what order
things happen. B batch, T tokens, C width, H heads, D = C // H.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]  # layer, q, k, v (B, H, T, D) -> the same


@contextlib.contextmanager
def exchanged(*pairs: tuple[nn.Module, Callable[[Tensor], Tensor]]) -> Generator[None]:
    """Within the block each of these modules computes something else."""
    before = [(module, vars(module).get("forward")) for module, _ in pairs]
    try:
        for module, forward in pairs:
            module.forward = forward
        yield
    finally:
        for module, forward in before:
            if forward is None:
                del module.forward
            else:
                module.forward = forward


def fused(model: Any, attend: Attend) -> contextlib.AbstractContextManager[None]:
    """Within the block the model's layers compute through fused kernels.

    Args:
        attend: mixes the values of a layer, causally.
    """
    config, eps = model.config, model.config.layer_norm_epsilon
    pairs = [(model.ln_f, _norm(model.ln_f, eps))]
    for layer, block in enumerate(model.h):
        pairs += [
            (block.ln_1, _norm(block.ln_1, eps)),
            (block.ln_2, _norm(block.ln_2, eps)),
            (block.attn, _attention(block.attn, config, layer, attend)),
            (block.mlp, _feed_forward(block.mlp, config)),
        ]
    return exchanged(*pairs)


def causal(model: Any) -> Attend:
    """Causal attention, with dropout where the model trains."""

    def attend(_: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rate = model.config.attn_pdrop if model.training else 0.0
        return F.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)

    return attend


def _norm(norm: Any, eps: float) -> Callable[[Tensor], Tensor]:
    return lambda x: F.layer_norm(x, x.shape[-1:], norm.weight, norm.bias, eps)


def _attention(attn: Any, config: Any, layer: int, attend: Attend) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        B, T, _ = x.shape
        qkv = F.linear(x, attn.c_attn.weight, attn.c_attn.bias).view(B, T, 3, config.n_head, -1)
        y = attend(layer, *qkv.permute(2, 0, 3, 1, 4))
        y = F.linear(y.transpose(1, 2).reshape(B, T, -1), attn.c_proj.weight, attn.c_proj.bias)
        return F.dropout(y, config.resid_pdrop, attn.training)

    return forward


def _feed_forward(mlp: Any, config: Any) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        y = F.gelu(F.linear(x, mlp.c_fc.weight, mlp.c_fc.bias), approximate="tanh")
        y = F.linear(y, mlp.c_proj.weight, mlp.c_proj.bias)
        return F.dropout(y, config.resid_pdrop, mlp.training)

    return forward
