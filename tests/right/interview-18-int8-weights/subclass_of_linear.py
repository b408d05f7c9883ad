"""Int8Linear is an nn.Linear whose weight is a property; quantize works on the transpose."""

import torch
from torch import nn


def quantize(weight):
    if weight.dim() != 2:
        raise ValueError(f"expected 2 axes, got {tuple(weight.shape)}")
    if torch.isnan(weight).any() or torch.isinf(weight).any():
        raise ValueError("NaN or inf in weight")
    with torch.no_grad():
        columns = weight.T.float() if weight.dtype != torch.float64 else weight.T.clone()
        scales = columns.abs().amax(0).div(127).to(torch.float32)
        scales = scales + (scales == 0).to(scales.dtype)
        codes = columns.div(scales).add(0.5).floor().clamp(-127, 127).to(torch.int8)
        return codes.T.contiguous(), scales


def dequantize(codes, scales, dtype=torch.float32):
    return (torch.diag(scales) @ codes.float()).to(dtype)


def error_bound(x, scales):
    x = x[..., None, :].abs()  # (..., 1, I)
    return (x * (scales / 2)[:, None]).sum(-1)


class Int8Linear(nn.Linear):
    def __init__(self, weight, bias=None):
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        codes, scales = quantize(weight)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.register_parameter("bias", None)
        if bias is not None:
            self.bias = nn.Parameter(bias.detach() + 0.0)

    def forward(self, x):
        weight = dequantize(self.codes, self.scales, torch.float64)
        result = x.double() @ weight.mT
        return (result + self.bias.double() if self.bias is not None else result).to(x.dtype)
