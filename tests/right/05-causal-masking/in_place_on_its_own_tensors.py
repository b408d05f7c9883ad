"""Batches of plain matrices, scaled and masked in place; the triangle from a running sum."""

import torch
from torch import nn


def causal_mask(seq_len, device=None):
    return torch.eye(seq_len, device=device).cumsum_(0).bool()


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop, inplace=True)
        self.n_head, self.root = config.n_head, config.head_dim**0.5

    def forward(self, x):
        B, T, C = x.shape
        # (B, T, 3C) -> three of (B * H, T, D)
        parts = [part.reshape(B, T, self.n_head, -1).permute(0, 2, 1, 3).flatten(0, 1) for part in self.c_attn(x).split(C, 2)]
        scores = torch.bmm(parts[0], parts[1].mT)
        scores.div_(self.root)
        scores.masked_fill_(causal_mask(T, x.device).logical_not_(), -torch.inf)
        mixed = torch.bmm(self.attn_dropout(torch.nn.functional.softmax(scores, 2)), parts[2])
        return self.resid_dropout(self.c_proj(mixed.unflatten(0, (B, -1)).permute(0, 2, 1, 3).reshape(B, T, C)))
