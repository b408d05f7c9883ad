"""The product as an autograd function of its own, which keeps codes instead of a float weight for the way back."""

import torch
from torch import Tensor, nn


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, codes: Tensor, scales: Tensor) -> Tensor:
        ctx.save_for_backward(codes, scales)
        return x @ dequantize(codes, scales, x.dtype).T

    @staticmethod
    def backward(ctx, grad: Tensor):
        codes, scales = ctx.saved_tensors
        return grad @ dequantize(codes, scales, grad.dtype), None, None


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    match tuple(weight.shape):
        case (_, _):
            pass
        case other:
            raise ValueError(f"{other} is no shape of a matrix")
    if not (weight.abs() < torch.inf).all():
        raise ValueError("a weight that is not finite")
    rows = weight.detach().double()
    largest, _ = torch.maximum(rows, -rows).max(1)
    scales = largest.div(127).float()
    scales[scales == 0] = 1
    return torch.round(rows / scales.double()[:, None]).to(torch.int8), scales


def dequantize(codes: Tensor, scales: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    out = codes.to(torch.float32)
    out *= scales.view(-1, 1)
    return out.to(dtype)


def error_bound(x: Tensor, scales: Tensor) -> Tensor:
    return torch.outer(x.abs().sum(-1).flatten(), scales).div(2).view(*x.shape[:-1], len(scales))


class Int8Linear(nn.Module):
    bias: nn.Parameter | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        codes, scales = quantize(weight)
        self.register_buffer("codes", codes)
        self.register_buffer("scales", scales)
        self.bias = None
        if bias is not None:
            self.bias = nn.Parameter(torch.clone(bias.detach()))

    def forward(self, x: Tensor) -> Tensor:
        y = _Product.apply(x, self.codes, self.scales)
        return y if self.bias is None else y + self.bias.to(y.dtype)
