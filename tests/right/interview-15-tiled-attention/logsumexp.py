"""Tiles hand on normalised outputs and their logsumexp; the contract's three are made of these."""

import torch


def partial_attention(scores, v):
    highest = scores.amax(-1, keepdim=True)
    safe = highest.clamp(min=torch.finfo(scores.dtype).min)
    weights = torch.exp(scores - safe)
    return torch.einsum("...tn,...ne->...te", weights, v), highest, weights.sum(dim=-1)[..., None]


def merge(first, second):
    both = torch.cat([first[1], second[1]], -1)
    highest = both.amax(-1, keepdim=True)
    scale = (both - highest.clamp(min=torch.finfo(both.dtype).min)).exp()
    weighted = first[0] * scale[..., :1] + second[0] * scale[..., 1:]
    total = (torch.cat([first[2], second[2]], -1) * scale).sum(-1, keepdim=True)
    return weighted, highest, total


def tiled_attention(q, k, v, tile_size, causal=False):
    if tile_size < 1:
        raise ValueError(f"bad tile_size: {tile_size}")
    T, S = q.size(-2), k.size(-2)
    if causal and T != S:
        raise ValueError(f"causal: {T} queries but {S} keys")
    done = []
    for i in range(0, T, tile_size):
        out = lse = None
        # from the diagonal backwards
        starts = range(0, min(i + 1, S) if causal else S, tile_size)
        for j in reversed(starts):
            scores = q[..., i : i + tile_size, :] @ k[..., j : j + tile_size, :].transpose(-2, -1)
            scores = scores / q.size(-1) ** 0.5
            if causal and j == i:
                scores = scores + torch.full(scores.shape[-2:], -torch.inf, dtype=q.dtype, device=q.device).triu(1)
            here = torch.logsumexp(scores, -1, keepdim=True)
            part = torch.exp(scores - here) @ v[..., j : j + tile_size, :]
            if out is None:
                out, lse = part, here
            else:
                new = torch.logaddexp(lse, here)
                out, lse = out * torch.exp(lse - new) + part * torch.exp(here - new), new
        done.append(out)
    return torch.cat(done, -2)
