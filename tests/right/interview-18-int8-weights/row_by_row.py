"""Row after row, in plain loops; double precision on the way, and the half away from zero."""

import torch
import torch.nn as nn


def quantize(weight):
    shape = tuple(weight.shape)
    if len(shape) != 2:
        raise ValueError("weight of shape " + str(shape))
    w = weight.detach().to(torch.float64)
    if (w != w).any() or (w.abs() == float("inf")).any():
        raise ValueError("weight is not finite")
    codes = torch.zeros(shape, dtype=torch.int8, device=weight.device)
    scales = torch.ones(shape[0], dtype=torch.float32, device=weight.device)
    for o in range(shape[0]):
        row = w[o]
        largest = max(row.max().item(), -row.min().item())
        if largest == 0:
            continue
        scales[o] = largest / 127
        steps = row / (largest / 127)
        codes[o] = ((steps.abs() + 0.5).floor().clamp(max=127) * steps.sign()).to(torch.int8)
    return codes, scales


def dequantize(codes, scales, dtype=torch.float32):
    return torch.stack([row.float() * s for row, s in zip(codes, scales)]).to(dtype)


def error_bound(x, scales):
    total = sum(x[..., i].abs() for i in range(x.shape[-1]))
    return torch.stack([total * (s / 2) for s in scales], dim=-1)


class Int8Linear(nn.Module):
    def __init__(self, weight, bias=None):
        nn.Module.__init__(self)
        codes, scales = quantize(weight)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        if bias is None:
            self.bias = None
        else:
            self.bias = nn.Parameter(torch.empty_like(bias, requires_grad=False))
            with torch.no_grad():
                self.bias.copy_(bias)

    def forward(self, x):
        w = dequantize(self.codes, self.scales).to(x.dtype)
        y = torch.matmul(x, w.t())
        if self.bias is not None:
            y = y + self.bias.type_as(y)
        return y
