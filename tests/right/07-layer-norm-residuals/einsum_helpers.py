import math

import torch
import torch.nn as nn


def _average(t):
    """Mean over the last axis by contraction with a vector of 1/C; keeps the axis."""
    width = t.size(-1)
    ones = torch.full((width,), 1.0, dtype=t.dtype, device=t.device)
    return (torch.einsum("...c,c->...", t, ones) / width).unsqueeze(-1)


class LayerNorm(nn.Module):
    def __init__(self, n_embd, eps=1e-5):
        nn.Module.__init__(self)
        if isinstance(n_embd, bool) or not isinstance(n_embd, int):
            raise TypeError("n_embd must be an int >= 1, got {!r}".format(n_embd))
        if n_embd < 1:
            raise ValueError("n_embd must be an int >= 1, got {!r}".format(n_embd))
        if not (eps > 0 and math.isfinite(eps)):
            raise ValueError("eps must be > 0, got {!r}".format(eps))
        self._width = n_embd
        self.variance_epsilon = float(eps)
        # registered in the other order, on purpose
        self.register_parameter("bias", nn.Parameter(torch.empty(n_embd)))
        self.register_parameter("weight", nn.Parameter(torch.empty(n_embd)))
        self.reset_parameters()

    def reset_parameters(self):
        with torch.no_grad():
            self.bias.fill_(0.0)
            self.weight.fill_(1.0)

    def forward(self, hidden):
        if hidden.dim() == 0 or hidden.size(-1) != self._width:
            raise ValueError(
                "this norm is for width {} but the input has shape {}".format(self._width, tuple(hidden.shape)))
        centred = hidden - _average(hidden)
        inv = torch.rsqrt(_average(centred.square()) + self.variance_epsilon)
        return torch.addcmul(self.bias, centred * inv, self.weight)


def pre_norm_residual(x, norm, sublayer):
    normed = norm(x)
    update = sublayer(normed)
    return torch.add(update, x)
