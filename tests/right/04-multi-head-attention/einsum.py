"""One five-axis view, einsum for scores and output; stacks of slices for the heads."""

import torch
from torch import nn


def split_heads(x, n_head):
    return torch.stack(x.chunk(n_head, dim=-1), dim=1)


def merge_heads(x):
    return torch.cat(list(x.unbind(1)), dim=-1)


class MultiHeadAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        B, T, C = x.shape
        H = self.config.n_head
        qkv = self.c_attn(x).reshape(B, T, 3, H, C // H)
        q, k, v = qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2]
        scores = torch.einsum("bthd,bshd->bhts", q, k) * (C // H) ** -0.5
        weights = self.attn_dropout(scores.softmax(dim=3))
        mixed = torch.einsum("bhts,bshd->bthd", weights, v)
        return self.resid_dropout(self.c_proj(mixed.reshape(B, T, C)))
