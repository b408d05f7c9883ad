"""Scaled attention with a mask, and the softmax inside it by hand.

Shapes: T tokens that ask, S tokens that are asked, D and E channels.
"""

import math

import torch
from torch import Tensor


def softmax(scores: Tensor, dim: int = -1) -> Tensor:
    """exp(scores), divided by its sum along `dim`; no overflow, however large the scores."""
    # TODO(03): about 2 lines. Subtract, exp, divide by the sum
    raise NotImplementedError("problem 03: softmax")


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
    # TODO(03): about 5 lines. scores -> scale -> mask -> softmax -> mix the values
    raise NotImplementedError("problem 03: scaled_dot_product_attention")
