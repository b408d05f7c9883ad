"""tanh from exponentials, factored cube."""

import torch
from torch import nn


def tanh(z):
    return 1 - 2 / (torch.exp(2 * z.clamp(max=20)) + 1)


def gelu(x):
    c = (2 / torch.pi) ** 0.5
    z = c * x * (1 + 0.044715 * x.square())
    return x / 2 + x / 2 * tanh(z)


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        inner = config.n_inner if config.n_inner is not None else 4 * config.n_embd
        self.c_fc = nn.Linear(config.n_embd, inner)
        self.c_proj = nn.Linear(inner, config.n_embd)
        self.dropout = nn.Dropout(config.resid_pdrop)
        nn.init.normal_(self.c_fc.weight, std=0.02)

    def forward(self, x):
        return self.dropout(self.c_proj(gelu(self.c_fc(x))))
