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
    # lesson: about 1 line
    return torch.ones(seq_len, seq_len, dtype=torch.bool, device=device).tril()


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
        # lesson: about 6 lines. q, k, v -> heads -> scores -> mask -> softmax -> merge -> c_proj
        q, k, v = (split_heads(part, self.n_head) for part in self.c_attn(x).chunk(3, dim=-1))
        scores = q @ k.mT / math.sqrt(q.size(-1))  # (B, H, T, T)
        # Before the softmax: exp(-inf) is 0, so the weights that remain still sum to 1.
        scores = scores.masked_fill(~causal_mask(x.size(1), x.device), -torch.inf)
        weights = self.attn_dropout(torch.softmax(scores, dim=-1))
        return self.resid_dropout(self.c_proj(merge_heads(weights @ v)))
