"""The copy shares the frozen numbers; the update is scaled at A; addmm for the merge."""

import copy
import math

import torch
import torch.nn.functional as F
from torch import nn


def frozen(p):
    return None if p is None else nn.Parameter(p.data, requires_grad=False)


class LoRALinear(nn.Module):
    def __init__(self, linear: nn.Linear, r: int, alpha: float):
        if r < 1:
            raise ValueError(f"rank {r}")
        super().__init__()
        self.rank, self.alpha = r, alpha
        self.weight, self.bias = frozen(linear.weight), frozen(linear.bias)
        self.lora_A = nn.Parameter(torch.empty_like(linear.weight[:1].expand(r, -1).contiguous()))
        self.lora_B = nn.Parameter(torch.zeros_like(linear.weight[:, :1].expand(-1, r).contiguous()))
        with torch.no_grad():
            self.lora_A.normal_(0, 1 / math.sqrt(linear.in_features))

    def forward(self, x):
        low = F.linear(x, self.lora_A * (self.alpha / self.rank))
        return F.linear(x, self.weight, self.bias) + F.linear(low, self.lora_B)

    def to_linear(self, merge: bool = True) -> nn.Linear:
        w = self.weight.detach()
        if merge:
            w = torch.addmm(w, self.lora_B.detach(), self.lora_A.detach(), alpha=self.alpha / self.rank)
        linear = nn.utils.skip_init(nn.Linear, w.size(1), w.size(0), bias=self.bias is not None, dtype=w.dtype)
        linear.weight.data.copy_(w)
        if self.bias is not None:
            linear.bias.data.copy_(self.bias.data)
        return linear


def add_lora(model, names, r, alpha):
    linears = [n.split(".")[-1] for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    for name in names:
        if linears.count(name) == 0:
            raise ValueError(f"{name!r} is no nn.Linear of this model")
    memo = {id(p): frozen(p) for p in model.parameters()}  # shared, not copied
    tuned = copy.deepcopy(model, memo)
    for parent in list(tuned.modules()):
        for name in [n for n, m in parent.named_children() if isinstance(m, nn.Linear) and n in names]:
            setattr(parent, name, LoRALinear(getattr(parent, name), r, alpha))
    return tuned


def remove_lora(model, merge=True):
    memo = {id(m): m.to_linear(merge) for m in model.modules() if isinstance(m, LoRALinear)}
    return copy.deepcopy(model, memo)
