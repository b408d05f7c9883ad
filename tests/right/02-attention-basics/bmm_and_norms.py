"""Leading axes folded into one for torch.bmm, weights through logsumexp; a helper class for the projections."""

import torch
from torch import nn


def _fold(t):
    return t.reshape(-1, *t.shape[-2:])


def dot_product_attention(query, key, value):
    *lead, T, _ = query.shape
    S, E = value.shape[-2:]
    q, k, v = _fold(query), _fold(key), _fold(value)
    scores = torch.bmm(q, k.permute(0, 2, 1))
    log_weights = scores - scores.logsumexp(2, keepdim=True)
    weights = log_weights.exp()
    return torch.bmm(weights, v).reshape(*lead, T, E), weights.reshape(*lead, T, S)


class Projection(nn.Linear):
    def __init__(self, width):
        super().__init__(width, width)
        nn.init.normal_(self.weight, std=0.02)
        nn.init.zeros_(self.bias)


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.value = Projection(config.n_embd)
        self.query = Projection(config.n_embd)
        self.key = Projection(config.n_embd)

    def forward(self, x):
        stacked = torch.stack([self.query(x), self.key(x), self.value(x)])
        return dot_product_attention(*stacked)[0]
