"""Multi-head attention: several small attentions side by side.

Shapes: B batch, T tokens, C n_embd, H n_head, D = C // H.
"""

import math

import torch
from torch import Tensor, nn

from common import GPT2Config


def split_heads(x: Tensor, n_head: int) -> Tensor:
    """(B, T, C) -> (B, H, T, D): head h gets channels h * D to (h + 1) * D of every token."""
    # lesson: about 1 line
    return x.unflatten(-1, (n_head, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, D) -> (B, T, C): the inverse of split_heads."""
    # lesson: about 1 line
    return x.transpose(1, 2).flatten(start_dim=2)


class MultiHeadAttention(nn.Module):
    """Self-attention with n_head heads; every token sees every token.

    Source: "Attention Is All You Need", section 3.2.2; layer names as in OpenAI's GPT-2.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        # lesson: about 5 lines. c_attn, c_proj, attn_dropout, resid_dropout
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)  # query, key, value in that order
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # lesson: about 5 lines. q, k, v -> heads -> scores -> softmax -> merge -> c_proj
        q, k, v = (split_heads(part, self.n_head) for part in self.c_attn(x).chunk(3, dim=-1))
        scores = q @ k.mT / math.sqrt(q.size(-1))  # (B, H, T, T)
        weights = self.attn_dropout(torch.softmax(scores, dim=-1))
        return self.resid_dropout(self.c_proj(merge_heads(weights @ v)))
