"""Attention in tiles with an online softmax: the table of all scores is never made.

Shapes: T queries, S keys, D channels of a query or key, E channels of a value, n keys of a tile;
"..." are leading axes, as (B, H) for batch and heads, the same for all tensors.
"""

import math

import torch
from torch import Tensor

Partial = tuple[Tensor, Tensor, Tensor]  # weighted (..., T, E), highest and total (..., T, 1)


def partial_attention(scores: Tensor, v: Tensor) -> Partial:
    """What a softmax needs to know of some of its keys, before the others are seen.

    Args:
        scores: (..., T, n); -inf hides a key, and may hide all keys of a row.
        v: (..., n, E).

    Returns:
        weighted (..., T, E), the sum of exp(score - highest) times value; highest (..., T, 1), the
        highest score of each row; total (..., T, 1), the sum of exp(score - highest). Of a row
        that sees nothing 0, -inf and 0.
    """
    # lesson: about 4 lines
    highest = scores.amax(dim=-1, keepdim=True)
    weights = torch.exp(scores - _finite(highest))
    return weights @ v, highest, weights.sum(dim=-1, keepdim=True)


def merge(first: Partial, second: Partial) -> Partial:
    """What partial_attention gives for the keys of both, from what it gave for those of each."""
    # lesson: about 7 lines. One highest score, and both sums as seen from there
    weighted_1, highest_1, total_1 = first
    weighted_2, highest_2, total_2 = second
    highest = torch.maximum(highest_1, highest_2)
    scale_1 = torch.exp(highest_1 - _finite(highest))
    scale_2 = torch.exp(highest_2 - _finite(highest))
    weighted = weighted_1 * scale_1 + weighted_2 * scale_2
    return weighted, highest, total_1 * scale_1 + total_2 * scale_2


def _finite(highest: Tensor) -> Tensor:
    """Where nothing is seen -inf - -inf would be NaN; with 0 in its place exp(-inf) is 0."""
    return highest.masked_fill(highest == -torch.inf, 0.0)


def tiled_attention(
    q: Tensor, k: Tensor, v: Tensor, tile_size: int, causal: bool = False
) -> Tensor:
    """softmax(q kᵀ / √D) v, from tiles of tile_size queries and tile_size keys.

    Args:
        q, k, v: (..., T, D), (..., S, D) and (..., S, E).
        tile_size: the last tile of each may be smaller.
        causal: query i sees keys 0 to i; tiles of keys that no query of a tile sees are skipped.

    Returns:
        (..., T, E).

    Raises:
        ValueError: tile_size is below 1, or causal and T is not S; the message names the values.
    """
    # lesson: about 20 lines. A loop over tiles of queries, in it one over tiles of keys
    T, S = q.size(-2), k.size(-2)
    if tile_size < 1:
        raise ValueError(f"tile_size must be at least 1, not {tile_size}")
    if causal and T != S:
        raise ValueError(f"causal attention has a key for each query, not T = {T} and S = {S}")
    outs = []
    for start in range(0, T, tile_size):
        queries = q[..., start : start + tile_size, :] / math.sqrt(q.size(-1))
        seen = None
        for first in range(0, start + 1 if causal else S, tile_size):
            keys, values = (x[..., first : first + tile_size, :] for x in (k, v))
            scores = queries @ keys.mT
            if causal and first == start:  # the one tile that is neither seen whole nor hidden
                later = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
                scores = scores.masked_fill(later, -torch.inf)
            found = partial_attention(scores, values)
            seen = found if seen is None else merge(seen, found)
        weighted, _, total = seen
        outs.append(weighted / total)
    return torch.cat(outs, dim=-2)
