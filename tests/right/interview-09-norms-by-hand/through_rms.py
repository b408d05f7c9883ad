"""LayerNorm is RMSNorm of the centered row, forward and backward; centering is its own transpose."""

import torch
from torch import Tensor


def _float(t: Tensor) -> Tensor:
    return t if t.dtype in (torch.float32, torch.float64) else t.float()


def _center(t: Tensor) -> Tensor:
    return t - t.mean(dim=-1, keepdim=True)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    h = _float(x)
    return (h / (h * h).mean(-1, keepdim=True).add(eps).sqrt() * _float(weight)).to(x.dtype)


def rms_norm_backward(grad: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-5):
    h, g = _float(x), _float(grad)
    r = torch.rsqrt((h * h).mean(-1, keepdim=True) + eps)
    gw = g * _float(weight)
    dx = r * gw - h * r**3 * (gw * h).mean(-1, keepdim=True)
    dw = (g * h * r).flatten(0, -2).sum(0) if x.ndim > 1 else g * h * r
    return dx.to(x.dtype), dw.to(weight.dtype)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    y = rms_norm(_center(_float(x)), _float(weight), eps) + _float(bias)
    return y.to(x.dtype)


def layer_norm_backward(grad: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-5):
    g = _float(grad)
    dx, dw = rms_norm_backward(g, _center(_float(x)), _float(weight), eps)
    db = g.clone()
    while db.ndim > 1:
        db = db.sum(0)
    return _center(dx).to(x.dtype), dw.to(weight.dtype), db.to(weight.dtype)
