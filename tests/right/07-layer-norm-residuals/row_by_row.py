"""A loop over single vectors, with dot products; what is computed last is worked on in place."""

import torch
from torch import nn


class LayerNorm(nn.Module):
    def __init__(self, n_embd, eps=1e-5):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(n_embd)), nn.Parameter(torch.zeros(n_embd))
        self.eps = eps

    def one(self, v):
        v = v - v.sum() / len(v)
        v = v / (v.dot(v) / len(v) + self.eps).sqrt()
        v = v * self.weight
        v += self.bias
        return v

    def forward(self, x):
        rows = x.reshape(-1, x.shape[-1])
        return torch.stack([self.one(row) for row in rows]).reshape(x.shape)


def pre_norm_residual(x, norm, sublayer):
    y = norm(x)
    y = sublayer(y)
    y = y + x
    return y
