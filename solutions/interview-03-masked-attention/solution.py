"""Masked multi-head attention: a softmax that knows what it may see, and attention built on it.

Shapes: B batch, T tokens, C channels, H num_heads, D = C // H; S scores in a row.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def masked_softmax(scores: Tensor, mask: Tensor, dim: int = -1) -> Tensor:
    """Softmax along dim over the positions that the mask allows; every other position gets 0.

    Args:
        scores: (..., S), finite; scores of 1e4 do not overflow either.
        mask: bool, broadcastable to scores, True where a position may be attended to.

    Returns:
        The shape and dtype of scores. A row without a True is all zeros, and its gradient too.
    """
    # lesson: about 5 lines. Hide, subtract the highest, exp, divide; mind the empty row
    scores = scores.masked_fill(~mask, -torch.inf)
    highest = scores.amax(dim, keepdim=True)
    highest = highest.masked_fill(highest == -torch.inf, 0.0)  # an empty row: -inf - -inf is NaN
    weights = torch.exp(scores - highest)
    # The highest score has the weight exp(0) = 1, so only an empty row sums to less; at 1.0 itself, the sum
    # of a row that sees one token, clamp may cut the gradient.
    return weights / weights.sum(dim, keepdim=True).clamp(min=0.5)


def multi_head_attention(
    x: Tensor,
    in_proj_weight: Tensor,
    in_proj_bias: Tensor,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor,
    num_heads: int,
    key_padding_mask: Tensor | None = None,
    causal: bool = True,
) -> Tensor:
    """Self-attention with the weights of nn.MultiheadAttention.

    Args:
        x: (B, T, C).
        in_proj_weight, in_proj_bias: (3C, C) and (3C,): the rows of query, then key, then value.
        out_proj_weight, out_proj_bias: (C, C) and (C,).
        key_padding_mask: bool (B, T), True where there is a real token; None: all are real.
        causal: a token attends to itself and to earlier tokens only.

    Returns:
        (B, T, C). A query that may attend to nothing adds zeros before the output projection.

    Raises:
        ValueError: num_heads is below 1, or does not divide C; the message names both.
    """
    # lesson: about 14 lines. Check; q, k, v -> heads -> scores -> mask -> softmax -> merge
    B, T, C = x.shape
    if num_heads < 1 or C % num_heads:
        raise ValueError(f"C ({C}) must be a multiple of num_heads ({num_heads}), which is >= 1")
    D = C // num_heads
    qkv = F.linear(x, in_proj_weight, in_proj_bias)
    q, k, v = (t.view(B, T, num_heads, D).transpose(1, 2) for t in qkv.split(C, dim=-1))
    visible = torch.ones(T, T, dtype=torch.bool, device=x.device)
    if causal:
        visible = visible.tril()
    if key_padding_mask is not None:
        visible = visible & key_padding_mask[:, None, None, :]  # (B, 1, T, T)
    weights = masked_softmax(q @ k.mT / math.sqrt(D), visible)  # (B, H, T, T)
    heads = (weights @ v).transpose(1, 2).flatten(2)  # (B, T, C)
    return F.linear(heads, out_proj_weight, out_proj_bias)
