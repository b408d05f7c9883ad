import torch
from torch import nn

from common import GPT2Config


def _tanh(u):
    """tanh through exp(-2|u|), which cannot overflow."""
    e = torch.exp(-2 * u.abs())
    return torch.sign(u) * (1 - e) / (1 + e)


class _Gelu(torch.autograd.Function):
    ROOT = (2 / torch.pi) ** 0.5
    CUBIC = 0.044715

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        t = _tanh(_Gelu.ROOT * (x + _Gelu.CUBIC * x * x * x))
        return x * (1 + t) / 2

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        t = _tanh(_Gelu.ROOT * (x + _Gelu.CUBIC * x * x * x))
        slope = _Gelu.ROOT * (1 + 3 * _Gelu.CUBIC * x * x)
        return grad * ((1 + t) / 2 + x * (1 - t * t) * slope / 2)


def gelu(x):
    return _Gelu.apply(x)


class _Activation(nn.Module):
    def forward(self, x):
        return gelu(x)


class FeedForward(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        sizes = (config.n_embd, config.n_inner)
        self.c_fc = nn.Linear(*sizes)
        self.act = _Activation()
        self.c_proj = nn.Linear(*reversed(sizes))
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        want = self.c_fc.in_features
        if x.shape[-1] != want:
            raise ValueError(f"I take {want} features, not {x.shape[-1]}")
        for layer in (self.c_fc, self.act, self.c_proj, self.dropout):
            x = layer(x)
        return x
