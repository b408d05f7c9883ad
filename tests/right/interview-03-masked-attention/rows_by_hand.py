"""Softmax by index_select of the visible ones, row by row; queries answered one at a time."""

import math

import torch
import torch.nn as nn


def masked_softmax(scores, mask, dim=-1):
    mask = torch.broadcast_to(mask, scores.shape).movedim(dim, -1)
    moved = scores.movedim(dim, -1)
    rows = moved.reshape(-1, moved.shape[-1])
    done = []
    for row, seen in zip(rows, mask.reshape(-1, moved.shape[-1])):
        places = seen.nonzero().flatten()
        out = torch.zeros_like(row)
        if places.numel():
            picked = row.index_select(0, places)
            e = torch.exp(picked - picked.max())
            out = out.index_put((places,), e / e.sum())
        done.append(out)
    return torch.stack(done).reshape(moved.shape).movedim(-1, dim)


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
    B, T, C = x.shape
    if not 1 <= num_heads <= C or C % num_heads:
        raise ValueError("C = %d is not a multiple of num_heads = %d" % (C, num_heads))
    D = C // num_heads
    qkv = nn.functional.linear(x, in_proj_weight, in_proj_bias)
    q, k, v = [part.reshape(B, T, num_heads, D) for part in torch.chunk(qkv, 3, dim=2)]
    answers = []
    for t in range(T):
        last = t + 1 if causal else T
        scores = (q[:, t : t + 1] * k[:, :last]).sum(-1) / math.sqrt(D)  # (B, last, H)
        seen = torch.ones_like(scores, dtype=torch.bool)
        if key_padding_mask is not None:
            seen = seen & key_padding_mask[:, :last, None]
        weights = masked_softmax(scores, seen, dim=1)
        answers.append((weights[..., None] * v[:, :last]).sum(1).reshape(B, C))
    return nn.functional.linear(torch.stack(answers, dim=1), out_proj_weight, out_proj_bias)
