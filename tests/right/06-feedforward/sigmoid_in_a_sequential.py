import torch
import torch.nn as nn
import torch.nn.functional as F

_TWICE_ROOT = 2.0 * (2.0 / torch.pi) ** 0.5


def gelu(x: torch.Tensor) -> torch.Tensor:
    """0.5 * (1 + tanh(u)) is sigmoid(2u), so the tanh approximation is one sigmoid."""
    if not x.is_floating_point():
        raise TypeError("gelu needs a floating point tensor, got %s" % x.dtype)
    return x * torch.sigmoid(_TWICE_ROOT * x * (1.0 + 0.044715 * x.square()))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        inner = config.n_inner if config.n_inner is not None else 4 * config.n_embd
        self.dropout = nn.Dropout(p=config.resid_pdrop, inplace=True)
        self.c_proj = nn.Linear(inner, config.n_embd)
        self.c_fc = nn.Linear(config.n_embd, inner)

    def forward(self, x):
        if x.shape[-1] != self.c_fc.in_features:
            raise ValueError("last dimension %d, must be %d" % (x.shape[-1], self.c_fc.in_features))
        x = F.linear(x, self.c_fc.weight, self.c_fc.bias)
        x = F.linear(gelu(x), self.c_proj.weight, self.c_proj.bias)
        return self.dropout(x)
