"""Attention at its simplest: every token asks, every token answers, one head, no scale.

Shapes: B batch, T tokens that ask, S tokens that are asked, C n_embd, D and E channels.
"""

import torch
from torch import Tensor, nn

from common import GPT2Config


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Mix the values by how well each key answers each query.

    Args:
        query: (..., T, D). key: (..., S, D). value: (..., S, E).

    Returns:
        output (..., T, E) and weights (..., T, S); each row of weights sums to 1.

    Source: "Attention Is All You Need", section 3.2.1, without the scale.
    """
    # lesson: about 3 lines. scores -> softmax -> mix the values
    scores = query @ key.mT  # (..., T, S)
    weights = torch.softmax(scores, dim=-1)
    return weights @ value, weights


class SelfAttention(nn.Module):
    """One head of attention, in which a text asks itself."""

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        # lesson: about 3 lines. The projections query, key and value
        self.query = nn.Linear(config.n_embd, config.n_embd)
        self.key = nn.Linear(config.n_embd, config.n_embd)
        self.value = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # lesson: about 2 lines
        output, _ = dot_product_attention(self.query(x), self.key(x), self.value(x))
        return output
