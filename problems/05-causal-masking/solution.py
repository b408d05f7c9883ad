"""Causal self-attention: no token sees a later one.

Shapes: B batch, T tokens, C n_embd, H n_head, D = C // H.
"""

import math

import torch
from torch import Tensor, nn

from common import GPT2Config, problem

split_heads = problem(4).split_heads
merge_heads = problem(4).merge_heads


def causal_mask(seq_len: int, device: torch.device | str | None = None) -> Tensor:
    """Bool (T, T): entry [i, j] is True where token i may attend to token j, which is j <= i."""
    # TODO(05): about 1 line
    raise NotImplementedError("problem 05: causal_mask")


class CausalSelfAttention(nn.Module):
    """GPT-2's attention: problem 04's, where each token sees itself and the ones before it.

    Source: "Attention Is All You Need", section 3.2.3; openai/gpt-2, src/model.py, `attn`.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)  # query, key, value in that order
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # TODO(05): about 6 lines. q, k, v -> heads -> scores -> mask -> softmax -> merge -> c_proj
        raise NotImplementedError("problem 05: CausalSelfAttention.forward")
