"""One query at a time."""

import torch
from torch import nn


def dot_product_attention(query, key, value):
    rows = []
    for t in range(query.shape[-2]):
        scores = (query[..., t : t + 1, :] * key).sum(-1)
        rows.append(torch.nn.Softmax(dim=-1)(scores))
    weights = torch.stack(rows, dim=-2)
    output = sum(weights[..., s : s + 1] * value[..., s : s + 1, :] for s in range(value.shape[-2]))
    return output, weights


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.query = nn.Linear(config.n_embd, config.n_embd)
        self.key = nn.Linear(config.n_embd, config.n_embd)
        self.value = nn.Linear(config.n_embd, config.n_embd)
        self.last_weights = None

    def forward(self, x):
        out, weights = dot_product_attention(self.query(x), self.key(x), self.value(x))
        self.last_weights = weights.detach()
        return out
