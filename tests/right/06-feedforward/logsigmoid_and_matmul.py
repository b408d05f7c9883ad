"""Half of 1 + tanh(z) as the exponential of a log-sigmoid; plain products with the weights; layers made in a loop."""

import torch
from torch import nn


def gelu(x):
    cubic = torch.addcmul(x, x * x, x, value=0.044715)
    return x * torch.exp(nn.functional.logsigmoid(cubic * (8 / torch.pi) ** 0.5))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths = [config.n_embd, config.n_inner, config.n_embd]
        for name, before, after in zip(("c_fc", "c_proj"), widths, widths[1:]):
            self.add_module(name, nn.Linear(before, after))
        self.register_module("dropout", nn.Dropout(config.resid_pdrop))

    def forward(self, x):
        for name in "c_fc", "c_proj":
            layer = self.get_submodule(name)
            x = torch.einsum("...i,oi->...o", x, layer.weight) + layer.bias
            x = gelu(x) if name == "c_fc" else self.dropout(x)
        return x
