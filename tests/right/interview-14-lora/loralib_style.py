"""A subclass of nn.Linear, and layers replaced by their paths."""

import copy
import math

import torch
from torch import nn


class LoRALinear(nn.Linear):
    def __init__(self, linear, r, alpha):
        if r <= 0:
            raise ValueError(f"r={r}")
        like = {"device": linear.weight.device, "dtype": linear.weight.dtype}
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, **like)
        self.load_state_dict(linear.state_dict())
        for p in self.parameters():
            p.requires_grad = False
        self.lora_A = nn.Parameter(torch.randn(r, linear.in_features, **like) / math.sqrt(linear.in_features))
        self.lora_B = nn.Parameter(torch.zeros(linear.out_features, r, **like))
        self.r, self.alpha = r, alpha

    def forward(self, x):
        return super().forward(x) + (x @ self.lora_A.T @ self.lora_B.T) * (self.alpha / self.r)

    def to_linear(self, merge=True):
        weight = self.weight.detach()
        if merge:
            weight = weight + (self.lora_B @ self.lora_A).detach() * (self.alpha / self.r)
        new = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        new.weight = nn.Parameter(weight.clone())
        if self.bias is not None:
            new.bias = nn.Parameter(self.bias.detach().clone())
        return new


def add_lora(model, names, r, alpha):
    chosen, seen = [], set()
    for path, module in model.named_modules():
        own = path.split(".")[-1]
        if isinstance(module, nn.Linear) and own in names:
            chosen.append(path)
            seen.add(own)
    for name in names:
        if name not in seen:
            raise ValueError(f"there is no nn.Linear named {name}")
    tuned = copy.deepcopy(model)
    for p in tuned.parameters():
        p.requires_grad = False
    for path in chosen:
        parent, _, own = path.rpartition(".")
        setattr(tuned.get_submodule(parent), own, LoRALinear(tuned.get_submodule(path), r, alpha))
    return tuned


def remove_lora(model, merge=True):
    plain = copy.deepcopy(model)
    for path in [path for path, module in plain.named_modules() if isinstance(module, LoRALinear)]:
        parent, _, own = path.rpartition(".")
        setattr(plain.get_submodule(parent), own, plain.get_submodule(path).to_linear(merge))
    return plain
