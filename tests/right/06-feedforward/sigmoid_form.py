"""0.5 (1 + tanh z) is sigmoid(2 z); flattened tokens; functional dropout."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def gelu(x):
    return x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.p = config.resid_pdrop
        self.c_fc = nn.Linear(config.n_embd, config.n_inner)
        self.c_proj = nn.Linear(config.n_inner, config.n_embd)

    def forward(self, x):
        shape = x.shape
        h = gelu(F.linear(x.reshape(-1, shape[-1]), self.c_fc.weight, self.c_fc.bias))
        y = torch.addmm(self.c_proj.bias, h, self.c_proj.weight.t())
        return F.dropout(y.view(shape), self.p, training=self.training)
