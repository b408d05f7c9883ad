"""logsumexp for the softmax; F.scaled_dot_product_attention for the rest, empty queries zeroed."""

import torch
from torch.nn import functional as F


def masked_softmax(scores, mask, dim=-1):
    mask = mask.expand_as(scores)
    some = mask.any(dim, keepdim=True)
    # an empty row goes through as if nothing were hidden, and is multiplied away
    hidden = scores.masked_fill(~mask & some, float("-inf"))
    return torch.exp(hidden - hidden.logsumexp(dim, keepdim=True)).masked_fill(~mask, 0)


def multi_head_attention(
    x,
    in_proj_weight,
    in_proj_bias,
    out_proj_weight,
    out_proj_bias,
    num_heads,
    key_padding_mask=None,
    causal=True,
):
    batch, length, width = x.shape
    if num_heads < 1 or width % num_heads > 0:
        raise ValueError(f"num_heads must divide the width {width}, got {num_heads}")
    mask = x.new_ones(batch, 1, length, length, dtype=torch.bool)
    if causal:
        mask = mask & ~x.new_ones(length, length, dtype=torch.bool).triu(diagonal=1)
    if key_padding_mask is not None:
        mask = mask & key_padding_mask.view(batch, 1, 1, length)
    some = mask.any(dim=-1, keepdim=True)
    q, k, v = (
        F.linear(x, in_proj_weight, in_proj_bias)
        .view(batch, length, 3, num_heads, -1)
        .permute(2, 0, 3, 1, 4)
        .unbind(0)
    )
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask | ~some) * some
    return F.linear(
        y.transpose(1, 2).contiguous().view(batch, length, width), out_proj_weight, out_proj_bias
    )
