"""Backward passes staged as in a computational graph: each forward line is undone, last line first."""

import torch


def up(t):
    return t.double() if t.dtype == torch.float64 else t.float()


def layer_norm(x, weight, bias, eps=1e-5):
    h = up(x)
    c = h.size(-1)
    mu = h.sum(-1, keepdim=True) / c
    d = h - mu
    var = (d**2).sum(-1, keepdim=True) / c
    std = (var + eps) ** 0.5
    return (d / std * up(weight) + up(bias)).type_as(x)


def layer_norm_backward(grad, x, weight, eps=1e-5):
    h, dy, w = up(x), up(grad), up(weight)
    c = h.size(-1)
    d = h - h.sum(-1, keepdim=True) / c
    std = ((d**2).sum(-1, keepdim=True) / c + eps) ** 0.5
    n = d / std

    every = tuple(range(x.ndim - 1))
    dw, db = dy * n, dy
    if every:
        dw, db = dw.sum(every), db.sum(every)
    dn = dy * w
    dstd = (-dn * d / std**2).sum(-1, keepdim=True)
    dvar = dstd / (2 * std)
    dd = dn / std + dvar * 2 * d / c
    dmu = -dd.sum(-1, keepdim=True)
    dx = dd + dmu / c
    return dx.type_as(x), dw.type_as(weight), db.type_as(weight)


def rms_norm(x, weight, eps=1e-5):
    h = up(x)
    rms = ((h**2).sum(-1, keepdim=True) / h.size(-1) + eps) ** 0.5
    return (h / rms * up(weight)).type_as(x)


def rms_norm_backward(grad, x, weight, eps=1e-5):
    h, dy, w = up(x), up(grad), up(weight)
    c = h.size(-1)
    rms = ((h**2).sum(-1, keepdim=True) / c + eps) ** 0.5
    dn = dy * w
    drms = (-dn * h / rms**2).sum(-1, keepdim=True)
    dms = drms / (2 * rms)
    dx = dn / rms + dms * 2 * h / c
    dw = dy * h / rms
    every = tuple(range(x.ndim - 1))
    if every:
        dw = dw.sum(every)
    return dx.type_as(x), dw.type_as(weight)
