"""One multiplies by 127 / largest, and stores the other way round; helpers and a numpy-like style."""

import torch
from torch.nn import Buffer, Module, Parameter
from torch.nn.functional import linear

LEVELS = 2**7 - 1


def _check(weight):
    if weight.ndim == 2 and bool(weight.isfinite().all()):
        return
    raise ValueError(f"cannot quantize a weight of shape {tuple(weight.shape)} with finite={weight.isfinite().all()}")


def quantize(weight):
    _check(weight)
    work = weight.detach().double()
    absmax = torch.linalg.vector_norm(work, ord=torch.inf, dim=-1)
    empty = absmax.eq(0)
    inverse = LEVELS / absmax.masked_fill(empty, LEVELS)
    codes = torch.round(work * inverse[:, None]).clamp_(-LEVELS, LEVELS)
    return codes.to(torch.int8), inverse.reciprocal().to(torch.float32)


def dequantize(codes, scales, dtype=torch.float32):
    return (codes.double() * scales[:, None].double()).to(dtype)


def error_bound(x, scales):
    return torch.linalg.vector_norm(x, ord=1, dim=-1).unsqueeze(-1) * (0.5 * scales)


class Int8Linear(Module):
    def __init__(self, weight, bias=None):
        super().__init__()
        codes, scales = quantize(weight)
        self.codes, self.scales = Buffer(codes), Buffer(scales)
        self.bias = Parameter(bias.detach().clone()) if bias is not None else None

    def forward(self, x):
        kind = torch.promote_types(x.dtype, torch.float32)
        bias = self.bias.to(kind) if self.bias is not None else None
        return linear(x.to(kind), dequantize(self.codes, self.scales, kind), bias).to(x.dtype)
