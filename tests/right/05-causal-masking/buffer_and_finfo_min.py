"""A float buffer of ones and zeros, the dtype's minimum for closed scores, einsum, heads in a loop."""

import torch
from torch import nn


def causal_mask(seq_len, device=None):
    return ~torch.triu(torch.ones((seq_len, seq_len), dtype=torch.bool, device=device), diagonal=1)


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.h, self.d = config.n_head, config.n_embd // config.n_head
        self.c_attn = nn.Linear(config.n_embd, config.n_embd * 3)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)
        tril = torch.tril(torch.ones(config.n_positions, config.n_positions))
        self.register_buffer("tril", tril, persistent=False)

    def forward(self, x):
        t = x.shape[1]
        query, key, value = torch.chunk(self.c_attn(x), 3, dim=-1)
        outputs = []
        for head in range(self.h):
            cut = slice(head * self.d, (head + 1) * self.d)
            scores = torch.einsum("btd,bsd->bts", query[..., cut] * self.d**-0.5, key[..., cut])
            scores = scores.masked_fill(self.tril[:t, :t] == 0, torch.finfo(scores.dtype).min)
            outputs.append(self.attn_dropout(scores.softmax(-1)) @ value[..., cut])
        return self.resid_dropout(self.c_proj(torch.cat(outputs, dim=-1)))
