"""One row at a time, written for a vector, and lifted over all rows by torch.vmap."""

import torch


def _rows(*tensors):
    wide = torch.promote_types(tensors[0].dtype, torch.float32)
    return [t.to(wide).reshape(-1, t.size(-1)) for t in tensors]


def _unit(row, eps):
    scale = (row.dot(row) / row.numel() + eps).sqrt().reciprocal()
    return row * scale, scale


def _slope(row, into, eps):
    n, scale = _unit(row, eps)
    return scale * (into - n * (into.dot(n) / row.numel())), n


def layer_norm(x, weight, bias, eps=1e-5):
    (h,) = _rows(x)
    n = torch.vmap(lambda row: _unit(row - row.mean(), eps)[0])(h)
    return torch.addcmul(bias.to(h.dtype), n, weight.to(h.dtype)).to(x.dtype).view(x.shape)


def rms_norm(x, weight, eps=1e-5):
    (h,) = _rows(x)
    n = torch.vmap(lambda row: _unit(row, eps)[0])(h)
    return (n * weight.to(h.dtype)).to(x.dtype).view(x.shape)


def layer_norm_backward(grad, x, weight, eps=1e-5):
    g, h = _rows(grad, x)
    dx, n = torch.vmap(lambda row, into: _slope(row - row.mean(), into, eps))(h, g * weight.to(h.dtype))
    dx = dx - dx.mean(1, keepdim=True)
    dw, db = (g * n).sum(0), g.sum(0)
    return dx.to(x.dtype).view(x.shape), dw.to(weight.dtype), db.to(weight.dtype)


def rms_norm_backward(grad, x, weight, eps=1e-5):
    g, h = _rows(grad, x)
    dx, n = torch.vmap(lambda row, into: _slope(row, into, eps))(h, g * weight.to(h.dtype))
    return dx.to(x.dtype).view(x.shape), (g * n).sum(0).to(weight.dtype)
