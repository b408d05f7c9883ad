"""torch.var_mean, addcmul, power of -1/2; the sum from the other side."""

import torch
from torch import nn


class LayerNorm(nn.Module):
    def __init__(self, n_embd, eps=1e-5):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_embd))
        self.bias = nn.Parameter(torch.empty(n_embd))
        self.eps = eps
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x):
        var, mean = torch.var_mean(x, dim=-1, unbiased=False, keepdim=True)
        normal = (x - mean) * (var + self.eps) ** -0.5
        return torch.addcmul(self.bias, normal, self.weight)


def pre_norm_residual(x, norm, sublayer):
    return torch.add(sublayer(norm(x)), x)
