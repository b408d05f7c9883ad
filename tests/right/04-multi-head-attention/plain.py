import math

import torch
from torch import nn

from common import GPT2Config


def split_heads(x, n_head):
    B, T, C = x.shape
    if n_head < 1 or C % n_head != 0:
        raise ValueError(f"width {C} cannot be divided into n_head={n_head} heads")
    return x.view(B, T, n_head, C // n_head).transpose(1, 2) if x.is_contiguous() else x.reshape(B, T, n_head, C // n_head).transpose(1, 2)


def merge_heads(x):
    B, H, T, D = x.shape
    return x.transpose(1, 2).reshape(B, T, H * D)


class MultiHeadAttention(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        self.n_embd = config.n_embd
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        if x.size(-1) != self.n_embd:
            raise ValueError(f"input width {x.size(-1)} is not n_embd={self.n_embd}")
        query, key, value = self.c_attn(x).chunk(3, dim=-1)
        query, key, value = (split_heads(t, self.n_head) for t in (query, key, value))
        scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
        weights = torch.softmax(scores, dim=-1)
        weights = self.attn_dropout(weights)
        output = merge_heads(weights @ value)
        return self.resid_dropout(self.c_proj(output))
