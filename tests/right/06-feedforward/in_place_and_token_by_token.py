"""Own tensors are worked on in place; the tokens come one after the other; the rate as a number."""

import torch
import torch.nn.functional as F
from torch import nn


def gelu(x):
    inner = torch.pow(x, 3)
    inner *= 0.044715
    inner += x
    inner *= 0.7978845608028654
    return torch.tanh(inner).add(1).mul(x).mul(0.5)


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc, self.c_proj = nn.Linear(config.n_embd, config.n_inner), nn.Linear(config.n_inner, config.n_embd)
        self.rate = config.resid_pdrop

    def one(self, token):
        """(B, C) -> (B, C)."""
        return F.dropout(self.c_proj(gelu(self.c_fc(token))), self.rate, self.training, inplace=True)

    def forward(self, x):
        return torch.stack([self.one(token) for token in x.unbind(1)], dim=1)
