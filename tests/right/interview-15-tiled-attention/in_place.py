"""The result is made first and filled tile by tile, with running sums that are changed in place."""

import math

import torch
from torch import Tensor


def partial_attention(scores: Tensor, v: Tensor):
    highest = torch.amax(scores, -1, keepdim=True)
    shift = torch.nan_to_num(highest, neginf=0.0)
    weights = scores.sub(shift).exp_()
    return torch.matmul(weights, v), highest, torch.sum(weights, -1, keepdim=True)


def merge(first, second):
    highest = torch.maximum(first[1], second[1])
    shift = torch.nan_to_num(highest, neginf=0.0)
    left, right = (first[1] - shift).exp(), (second[1] - shift).exp()
    return tuple(
        [first[0] * left + second[0] * right, highest, first[2] * left + second[2] * right]
    )


@torch.no_grad()
def tiled_attention(q, k, v, tile_size, causal=False):
    T, S = q.shape[-2], k.shape[-2]
    if tile_size < 1:
        raise ValueError(f"tile_size {tile_size} < 1")
    if causal and T != S:
        raise ValueError(f"{T} != {S}")
    result = torch.empty(*q.shape[:-1], v.shape[-1], dtype=q.dtype, device=q.device)
    for row in range(0, T, tile_size):
        end = min(row + tile_size, T)
        rows = slice(row, end)
        out = torch.zeros_like(result[..., rows, :])
        highest = torch.full_like(out[..., :1], -math.inf)
        total = torch.zeros_like(highest)
        for column in range(0, end if causal else S, tile_size):
            columns = slice(column, min(column + tile_size, S))
            scores = q[..., rows, :] @ k[..., columns, :].mT
            scores /= math.sqrt(q.shape[-1])
            if causal and columns.stop > row:
                size = scores.shape[-2:]
                scores.masked_fill_(
                    torch.ones(size, dtype=torch.bool, device=q.device).triu(row - column + 1), -math.inf
                )
            new = torch.maximum(highest, scores.amax(-1, keepdim=True))
            weights = (scores - new).exp_()
            scale = (highest - new).exp_()
            out *= scale
            out += weights @ v[..., columns, :]
            total *= scale
            total += weights.sum(-1, keepdim=True)
            highest = new
        result[..., rows, :] = out / total
    return result
