"""get_submodule and setattr by path, parameters in a loop, and matmul with transposed matrices."""

import copy

import torch
from torch import nn


class LoRALinear(nn.Module):
    """Weight and bias are looked at through the state dict of the layer."""

    def __init__(self, linear, r, alpha):
        super().__init__()
        if int(r) < 1:
            raise ValueError(f"got r = {r}, and 1 is the least")
        self.bias = None
        for name, tensor in linear.state_dict().items():
            setattr(self, name, nn.Parameter(tensor.clone(), requires_grad=False))
        self.lora_A = nn.Parameter(self._new(r, self.weight.shape[1]))
        self.lora_B = nn.Parameter(self._new(self.weight.shape[0], r))
        nn.init.kaiming_normal_(self.lora_A)
        nn.init.zeros_(self.lora_B)
        self.alpha = float(alpha)

    def _new(self, *shape):
        return torch.empty(shape, dtype=self.weight.dtype, device=self.weight.device)

    @property
    def scaling(self):
        return self.alpha / self.lora_A.shape[0]

    def forward(self, x):
        out = torch.matmul(x, self.weight.transpose(0, 1))
        if self.bias is not None:
            out = out + self.bias
        return out + torch.matmul(torch.matmul(x, self.lora_A.mT) * self.scaling, self.lora_B.mT)

    @torch.no_grad()
    def to_linear(self, merge=True):
        total = self.weight.clone()
        if merge:
            for column, row in zip(self.lora_B.unbind(1), self.lora_A.unbind(0), strict=True):
                total += self.scaling * torch.outer(column, row)
        with torch.enable_grad():
            result = nn.Linear(total.shape[1], total.shape[0], bias=self.bias is not None)
            result.weight = nn.Parameter(total)
            if self.bias is not None:
                result.bias = nn.Parameter(self.bias.clone().detach())
        return result


def _substitute(model, chosen):
    for path, new in chosen.items():
        *above, last = path.split(".")
        setattr(model.get_submodule(".".join(above)), last, new)
    return model


def add_lora(model, names, r, alpha):
    linears = {path: m for path, m in model.named_modules() if isinstance(m, nn.Linear)}
    for name in names:
        if not any(path.split(".")[-1] == name for path in linears):
            raise ValueError(f"add_lora: {name} is not the name of a linear layer")
    chosen = {path: LoRALinear(m, r, alpha) for path, m in linears.items() if path.split(".")[-1] in names}
    copied = copy.deepcopy(model)
    for p in copied.parameters():
        p.requires_grad_(False)
    return _substitute(copied, chosen)


def remove_lora(model, merge=True):
    layers = {path: m.to_linear(merge) for path, m in model.named_modules() if isinstance(m, LoRALinear)}
    return _substitute(copy.deepcopy(model), layers)
