"""Pads to whole tiles and hides the padding; the tile of a fixed shape is the only one there is."""

import math

import torch
import torch.nn.functional as F


def partial_attention(scores, v):
    highest, _ = scores.max(dim=-1, keepdim=True)
    exps = torch.exp(scores - highest)
    exps = exps.masked_fill(scores == -math.inf, 0.0)
    return exps.matmul(v), highest, exps.sum(dim=-1, keepdim=True)


def merge(first, second):
    weighted, highest, total = first
    weighted2, highest2, total2 = second
    new = torch.max(highest, highest2)
    old = torch.exp(highest - new).masked_fill(highest == -math.inf, 0.0)
    add = torch.exp(highest2 - new).masked_fill(highest2 == -math.inf, 0.0)
    return weighted * old + weighted2 * add, new, total * old + total2 * add


def tiled_attention(q, k, v, tile_size, causal=False):
    T, S, D = q.size(-2), k.size(-2), q.size(-1)
    if tile_size < 1:
        raise ValueError(f"tile_size = {tile_size} is not positive")
    if causal and T != S:
        raise ValueError(f"causal needs as many keys ({S}) as queries ({T})")
    b = min(tile_size, max(T, S))
    q_full = F.pad(q, (0, 0, 0, -T % b))
    k_full, v_full = (F.pad(x, (0, 0, 0, -S % b)) for x in (k, v))
    step = torch.arange(b, device=q.device)
    outs = []
    for i in range(0, q_full.size(-2), b):
        rows = step[:, None] + i
        state = None
        for j in range(0, k_full.size(-2), b):
            if causal and j > i:
                continue
            columns = step + j
            keep = columns < S
            if causal:
                keep = keep & (columns <= rows)
            scores = q_full[..., i : i + b, :].matmul(k_full[..., j : j + b, :].transpose(-1, -2)) / math.sqrt(D)
            scores = scores.masked_fill(~keep, -math.inf)
            part = partial_attention(scores, v_full[..., j : j + b, :])
            state = merge(state, part) if state is not None else part
        outs.append(state[0].div(state[2]))
    return torch.cat(outs, dim=-2)[..., :T, :]
