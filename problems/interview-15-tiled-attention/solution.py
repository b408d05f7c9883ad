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
    # TODO(interview-15): about 4 lines
    raise NotImplementedError("problem interview-15: partial_attention")


def merge(first: Partial, second: Partial) -> Partial:
    """What partial_attention gives for the keys of both, from what it gave for those of each."""
    # TODO(interview-15): about 7 lines. One highest score, and both sums as seen from there
    raise NotImplementedError("problem interview-15: merge")


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
    # TODO(interview-15): about 20 lines. A loop over tiles of queries, in it one over tiles of keys
    raise NotImplementedError("problem interview-15: tiled_attention")
