"""A named tuple, float32 inside where the inputs are narrower, keys in the outer loop."""

from typing import NamedTuple

import torch
from torch import Tensor


class Seen(NamedTuple):
    weighted: Tensor
    highest: Tensor
    total: Tensor


def _wide(dtype):
    return torch.promote_types(dtype, torch.float32)


def partial_attention(scores, v):
    narrow, scores, v = scores.dtype, scores.to(_wide(scores.dtype)), v.to(_wide(v.dtype))
    highest = scores.amax(-1, keepdim=True)
    weights = torch.where(scores == -torch.inf, 0.0, torch.exp(scores - highest))
    return Seen(*(x.to(narrow) for x in (weights @ v, highest, weights.sum(-1, keepdim=True))))


def merge(first, second):
    a, b = Seen(*first), Seen(*second)
    b_higher = b.highest > a.highest
    gap = (a.highest - b.highest).abs().nan_to_num(nan=0.0)
    small = torch.exp(-gap)
    one = torch.ones_like(small)
    fa, fb = torch.where(b_higher, small, one), torch.where(b_higher, one, small)
    return Seen(
        a.weighted * fa + b.weighted * fb, torch.where(b_higher, b.highest, a.highest), a.total * fa + b.total * fb
    )


def tiled_attention(q, k, v, tile_size, causal=False):
    if not tile_size >= 1:
        raise ValueError(tile_size)
    if causal and q.size(-2) != k.size(-2):
        raise ValueError((q.size(-2), k.size(-2)))
    wide = _wide(q.dtype)
    q_tiles = [t.to(wide) for t in q.split(tile_size, dim=-2)]
    states = [None for _ in q_tiles]
    for j, (keys, values) in enumerate(zip(k.split(tile_size, dim=-2), v.split(tile_size, dim=-2))):
        keys, values = keys.to(wide), values.to(wide)
        for i, queries in enumerate(q_tiles):
            if causal and i < j:
                continue
            scores = torch.einsum("...td,...sd->...ts", queries, keys) / q.size(-1) ** 0.5
            if causal and i == j:
                hide = torch.ones(scores.shape[-2:], device=q.device).triu(diagonal=1).bool()
                scores = scores.masked_fill(hide, float("-inf"))
            found = partial_attention(scores, values)
            states[i] = merge(states[i], found) if states[i] else found
    return torch.cat([(s.weighted / s.total).to(q.dtype) for s in states], dim=-2)
