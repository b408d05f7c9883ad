"""Multi-head attention: several small attentions side by side.

Shapes: B batch, T tokens, C n_embd, H n_head, D = C // H.
"""

import math

import torch
from torch import Tensor, nn

from common import GPT2Config


def split_heads(x: Tensor, n_head: int) -> Tensor:
    """(B, T, C) -> (B, H, T, D): head h gets channels h * D to (h + 1) * D of every token."""
    # TODO(04): about 1 line
    raise NotImplementedError("problem 04: split_heads")


def merge_heads(x: Tensor) -> Tensor:
    """(B, H, T, D) -> (B, T, C): the inverse of split_heads."""
    # TODO(04): about 1 line
    raise NotImplementedError("problem 04: merge_heads")


class MultiHeadAttention(nn.Module):
    """Self-attention with n_head heads; every token sees every token.

    Source: "Attention Is All You Need", section 3.2.2; layer names as in OpenAI's GPT-2.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        # TODO(04): about 5 lines. c_attn, c_proj, attn_dropout, resid_dropout
        raise NotImplementedError("problem 04: MultiHeadAttention.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # TODO(04): about 5 lines. q, k, v -> heads -> scores -> softmax -> merge -> c_proj
        raise NotImplementedError("problem 04: MultiHeadAttention.forward")
