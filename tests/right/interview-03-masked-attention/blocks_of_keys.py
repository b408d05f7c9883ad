"""Attention over one key at a time with a running maximum and sum; the softmax sorts nothing and divides once."""

import math

import torch
from torch.nn.functional import linear


def masked_softmax(scores, mask, dim=-1):
    mask = mask.broadcast_to(scores.shape)
    top = torch.where(mask, scores, torch.full_like(scores, -math.inf)).amax(dim, keepdim=True)
    top = torch.where(mask.any(dim, keepdim=True), top, torch.zeros_like(top)).detach()
    powers = torch.where(mask, (torch.where(mask, scores, top) - top).exp(), torch.zeros_like(scores))
    total = powers.sum(dim, keepdim=True)
    return powers / total.masked_fill(total == 0, 1)


def multi_head_attention(
    x, in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias, num_heads, key_padding_mask=None, causal=True
):
    B, T, C = x.shape
    if num_heads <= 0 or C % num_heads:
        raise ValueError(f"{num_heads} heads do not share {C} channels evenly")
    D = C // num_heads
    q, k, v = (
        linear(x, w, b).reshape(B, T, num_heads, D).movedim(2, 1)
        for w, b in zip(in_proj_weight.split(C), in_proj_bias.split(C))
    )
    real = torch.ones_like(x[..., 0], dtype=torch.bool) if key_padding_mask is None else key_padding_mask
    highest = q.new_full((B, num_heads, T, 1), -1e4 if q.dtype == torch.float16 else -1e30)
    total, mixed = torch.zeros_like(highest), torch.zeros_like(q)
    query = torch.arange(T, device=x.device).view(1, 1, T, 1)
    for s in range(T):
        seen = real[:, s].view(B, 1, 1, 1) & ((query >= s) | (not causal))
        score = (q * k[:, :, s : s + 1]).sum(-1, keepdim=True) / math.sqrt(D)
        higher = torch.where(seen, torch.maximum(highest, score), highest).detach()
        power = torch.where(seen, (torch.where(seen, score, higher) - higher).exp(), 0.0)
        shrink = (highest - higher).exp()
        total = total * shrink + power
        mixed = mixed * shrink + power * v[:, :, s : s + 1]
        highest = higher
    heads = mixed / torch.where(total > 0, total, 1.0)
    return linear(heads.movedim(1, 2).reshape(B, T, C), out_proj_weight, out_proj_bias)
