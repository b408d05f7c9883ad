import math

import torch
from torch import nn

from common import GPT2Config


def gelu(x):
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)
    return 0.5 * x * (1.0 + torch.tanh(inner))


class FeedForward(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        self.n_embd = config.n_embd
        self.c_fc = nn.Linear(config.n_embd, config.n_inner)
        self.c_proj = nn.Linear(config.n_inner, config.n_embd)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        if x.size(-1) != self.n_embd:
            raise ValueError(f"input width {x.size(-1)} is not n_embd={self.n_embd}")
        hidden = gelu(self.c_fc(x))
        return self.dropout(self.c_proj(hidden))
