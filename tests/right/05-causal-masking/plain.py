import math

import torch
from torch import nn

from common import GPT2Config


def causal_mask(seq_len, device=None):
    if seq_len < 0:
        raise ValueError(f"seq_len is {seq_len}, it must not be below 0")
    return torch.tril(torch.ones(seq_len, seq_len, dtype=torch.bool, device=device))


class CausalSelfAttention(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        self.n_embd = config.n_embd
        self.n_head = config.n_head
        self.head_dim = config.n_embd // config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        B, T, C = x.shape
        if C != self.n_embd:
            raise ValueError(f"input width {C} is not n_embd={self.n_embd}")
        query, key, value = (
            t.view(B, T, self.n_head, self.head_dim).transpose(1, 2) for t in self.c_attn(x).split(C, dim=-1)
        )
        mask = causal_mask(T, device=x.device)
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.head_dim)
        scores = scores.masked_fill(~mask, float("-inf"))
        weights = self.attn_dropout(torch.softmax(scores, dim=-1))
        output = (weights @ value).transpose(1, 2).reshape(B, T, C)
        return self.resid_dropout(self.c_proj(output))
