"""The merged matrix in each forward pass; A from nn.Linear's own initialisation; parents in a dict."""

import copy

import torch
from torch import nn
from torch.nn import functional as F


class LoRALinear(nn.Module):
    def __init__(self, linear, r, alpha):
        super().__init__()
        if r in (0,) or r < 0:
            raise ValueError("LoRALinear needs a rank of at least one, it got " + str(r))
        self.s = alpha / r
        old = copy.deepcopy(linear).requires_grad_(False)
        self.weight, self.bias = old.weight, old.bias
        self.lora_A = nn.Linear(linear.in_features, r, bias=False).to(linear.weight.dtype).weight
        self.lora_B = nn.Parameter(torch.zeros(linear.out_features, r, dtype=linear.weight.dtype))

    def whole(self, merge=True):
        return self.weight + self.s * (self.lora_B @ self.lora_A) if merge else self.weight

    def forward(self, x):
        return F.linear(x, self.whole(), self.bias)

    def to_linear(self, merge=True):
        n_out, n_in = self.weight.shape
        linear = nn.Linear(n_in, n_out, bias=self.bias is not None).to(self.weight.dtype)
        vectors = [self.whole(merge).detach()] + ([] if self.bias is None else [self.bias])
        nn.utils.vector_to_parameters(torch.cat([v.reshape(-1).clone() for v in vectors]), linear.parameters())
        return linear


def add_lora(model, names, r, alpha):
    names = set(names)
    tuned = copy.deepcopy(model)
    tuned.requires_grad_(False)
    everything = dict(tuned.named_modules())
    places = {}
    for path, part in everything.items():
        if isinstance(part, nn.Linear):
            parent, _, own = path.rpartition(".")
            places.setdefault(own, []).append((everything[parent], part))
    if not names <= places.keys():
        raise ValueError(f"{', '.join(names - places.keys())}: no such linear layer, only {', '.join(places)}")
    for own in names:
        for parent, part in places[own]:
            parent.add_module(own, LoRALinear(part, r, alpha))
    return tuned


def remove_lora(model, merge=True):
    plain = copy.deepcopy(model)
    everything = dict(plain.named_modules())
    for path, part in everything.items():
        if isinstance(part, LoRALinear):
            parent, _, own = path.rpartition(".")
            everything[parent].add_module(own, part.to_linear(merge=merge))
    return plain
