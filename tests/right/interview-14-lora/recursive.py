"""Recursion over the children; einsum; a copy of the numbers."""

from copy import deepcopy

import torch
from torch import nn


class LoRALinear(nn.Module):
    def __init__(self, linear, r, alpha):
        super().__init__()
        if not r >= 1:
            raise ValueError("r has to be 1 or more, not %d" % r)
        out_features, in_features = linear.weight.shape
        self.factor = alpha / r
        self.weight = nn.Parameter(linear.weight.detach().clone())
        self.register_parameter("bias", None if linear.bias is None else nn.Parameter(linear.bias.detach().clone()))
        self.requires_grad_(False)
        a = torch.empty(r, in_features).uniform_(-1, 1) / in_features**0.5
        self.lora_A = nn.Parameter(a.to(linear.weight))
        self.lora_B = nn.Parameter(torch.zeros(out_features, r).to(linear.weight))

    def forward(self, x):
        small = torch.einsum("...i,ri->...r", x, self.lora_A)
        out = torch.einsum("...i,oi->...o", x, self.weight)
        out = out + self.factor * torch.einsum("...r,or->...o", small, self.lora_B)
        return out if self.bias is None else out + self.bias

    def to_linear(self, merge=True):
        with torch.no_grad():
            linear = nn.Linear(*self.weight.T.shape, bias=self.bias is not None, dtype=self.weight.dtype)
            update = torch.einsum("or,ri->oi", self.lora_B, self.lora_A)
            state = {"weight": self.weight + self.factor * update if merge else self.weight}
            if self.bias is not None:
                state["bias"] = self.bias
            linear.load_state_dict(state)
        return linear


def _walk(module, change):
    for name, child in module.named_children():
        new = change(name, child)
        if new is child:
            _walk(child, change)
        else:
            module._modules[name] = new


def add_lora(model, names, r, alpha):
    found = set()

    def change(name, child):
        if name in names and isinstance(child, nn.Linear):
            found.add(name)
            return LoRALinear(child, r, alpha)
        return child

    model = deepcopy(model).requires_grad_(False)
    _walk(model, change)
    if missing := set(names) - found:
        raise ValueError(f"not found: {missing}")
    return model


def remove_lora(model, merge=True):
    model = deepcopy(model)
    _walk(model, lambda name, child: child.to_linear(merge) if isinstance(child, LoRALinear) else child)
    return model
