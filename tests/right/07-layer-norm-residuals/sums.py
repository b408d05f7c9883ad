"""Sums divided by C, transposed instead of keepdim; std with unbiased=False."""

import torch
from torch import nn


class LayerNorm(nn.Module):
    def __init__(self, n_embd: int, eps: float = 1e-5):
        super().__init__()
        self.n, self.eps = n_embd, eps
        self.weight = nn.Parameter(torch.ones((n_embd,)))
        self.bias = nn.Parameter(torch.zeros((n_embd,)))

    def forward(self, x):
        mean = (x.sum(-1) / self.n).unsqueeze(-1)
        d = x - mean
        std = torch.sqrt((d * d).sum(-1) / self.n + self.eps).unsqueeze(-1)
        return d / std * self.weight + self.bias


def pre_norm_residual(x, norm, sublayer):
    out = sublayer(norm(x)).clone()
    out += x
    return out
