"""nn.GELU in the module, torch.pow and a torch constant in the function, Sequential inside."""

import torch
import torch.nn.functional as F
from torch import nn

K = 0.7978845608028654


def gelu(x):
    inner = K * (x + 0.044715 * torch.pow(x, 3))
    return x * 0.5 * (1.0 + torch.tanh(inner))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_proj = nn.Linear(config.n_inner, config.n_embd)
        self.c_fc = nn.Linear(config.n_embd, config.n_inner)
        self.act = nn.GELU(approximate="tanh")
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        x = self.c_fc(x)
        x = self.act(x)
        x = self.c_proj(x)
        return self.dropout(x)
