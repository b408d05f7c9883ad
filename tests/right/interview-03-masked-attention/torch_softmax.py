"""torch.softmax with nan_to_num behind a masked_fill, one einsum for each step, additive names."""

import torch
from torch import einsum


def masked_softmax(scores, mask, dim=-1):
    return torch.softmax(scores.masked_fill(mask.logical_not(), float("-inf")), dim).nan_to_num(
        nan=0.0
    )


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
    width = x.shape[-1]
    if num_heads <= 0 or width % num_heads != 0:
        raise ValueError(f"{width} channels cannot be cut into {num_heads} heads")
    q, k, v = (
        (einsum("btc,dc->btd", x, w) + b).unflatten(-1, (num_heads, -1))
        for w, b in zip(in_proj_weight.chunk(3), in_proj_bias.chunk(3))
    )
    scores = einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    t = torch.arange(x.shape[1], device=x.device)
    allowed = t[:, None] >= t[None, :] if causal else (t[:, None] >= 0).expand(len(t), len(t))
    allowed = allowed.expand(len(x), 1, -1, -1)
    if key_padding_mask is not None:
        allowed = allowed.logical_and(key_padding_mask[:, None, None])
    mixed = einsum("bhqk,bkhd->bqhd", masked_softmax(scores, allowed), v)
    return mixed.reshape(x.shape) @ out_proj_weight.T + out_proj_bias
