import torch
from torch import nn


class LayerNorm(nn.Module):
    def __init__(self, n_embd, eps=1e-5):
        super().__init__()
        if n_embd < 1:
            raise ValueError(f"n_embd is {n_embd}, it must be at least 1")
        if not eps > 0:
            raise ValueError(f"eps is {eps}, it must be above 0")
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(n_embd))
        self.bias = nn.Parameter(torch.zeros(n_embd))

    def forward(self, x):
        if x.shape[-1] != self.weight.shape[0]:
            raise ValueError(f"last axis of x is {x.shape[-1]}, n_embd is {self.weight.shape[0]}")
        mean = x.mean(dim=-1, keepdim=True)
        var = x.var(dim=-1, keepdim=True, unbiased=False)
        x_hat = (x - mean) / torch.sqrt(var + self.eps)
        return self.weight * x_hat + self.bias


def pre_norm_residual(x, norm, sublayer):
    return x + sublayer(norm(x))
