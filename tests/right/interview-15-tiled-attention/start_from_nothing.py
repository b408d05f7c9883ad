"""Begins with an empty state for each tile of queries, masks by positions, and splits beforehand."""

import torch


def partial_attention(scores, v):
    m = scores.max(-1, keepdim=True).values
    p = (scores - torch.where(m.isinf(), torch.zeros_like(m), m)).exp()
    return p @ v, m, p.sum(-1, True)


def _factor(old, new):
    return torch.where(old == float("-inf"), torch.zeros_like(old), (old - new).exp())


def merge(first, second):
    (a, m, s), (b, n, t) = first, second
    top = torch.where(m > n, m, n)
    f, g = _factor(m, top), _factor(n, top)
    return f * a + g * b, top, f * s + g * t


def tiled_attention(q, k, v, tile_size, causal=False):
    if tile_size <= 0:
        raise ValueError(f"tile_size={tile_size}")
    if causal and q.size(-2) != k.size(-2):
        raise ValueError(f"T={q.size(-2)}, S={k.size(-2)}")
    out = []
    for i, qs in enumerate(q.split(tile_size, -2)):
        state = (
            qs.new_zeros(*qs.shape[:-1], v.size(-1)),
            qs.new_full((*qs.shape[:-1], 1), float("-inf")),
            qs.new_zeros(*qs.shape[:-1], 1),
        )
        for j, (ks, vs) in enumerate(zip(k.split(tile_size, -2), v.split(tile_size, -2))):
            if causal and j > i:
                break
            scores = qs @ ks.transpose(-1, -2) * q.size(-1) ** -0.5
            if causal:
                mine = torch.arange(qs.size(-2), device=q.device) + i * tile_size
                theirs = torch.arange(ks.size(-2), device=q.device) + j * tile_size
                scores = torch.where(mine[:, None] >= theirs, scores, float("-inf"))
            state = merge(state, partial_attention(scores, vs))
        out.append(state[0] / state[2])
    return torch.cat(out, -2)
