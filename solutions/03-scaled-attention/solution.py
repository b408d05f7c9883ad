"""Scaled attention with a mask, and the softmax inside it by hand.

Shapes: T tokens that ask, S tokens that are asked, D and E channels.
"""

import math

import torch
from torch import Tensor


def softmax(scores: Tensor, dim: int = -1) -> Tensor:
    """exp(scores), divided by its sum along `dim`; no overflow, however large the scores."""
    # lesson: about 2 lines. Subtract, exp, divide by the sum
    # Subtracting one number from all scores changes nothing, and exp(x) <= 1 for x <= 0.
    powers = torch.exp(scores - scores.amax(dim, keepdim=True))
    return powers / powers.sum(dim, keepdim=True)


def scaled_dot_product_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Mix the values by how well each key answers each query.

    Args:
        query: (..., T, D). key: (..., S, D). value: (..., S, E).
        mask: bool, True where a query may attend to a key; broadcasts to (..., T, S).

    Returns:
        output (..., T, E) and weights (..., T, S); each row of weights sums to 1.

    Source: "Attention Is All You Need", section 3.2.1, equation 1.
    """
    # lesson: about 5 lines. scores -> scale -> mask -> softmax -> mix the values
    scores = query @ key.mT / math.sqrt(query.size(-1))  # (..., T, S)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = softmax(scores)
    return weights @ value, weights
