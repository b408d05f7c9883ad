"""Each row's Jacobian as a matrix (C, C), contracted by einsum."""

import torch


def _stats(x, eps, centered):
    h = x.to(torch.promote_types(x.dtype, torch.float32)).reshape(-1, x.shape[-1])
    if centered:
        h = torch.sub(h, h.mean(1)[:, None])
    r = 1 / torch.sqrt(torch.einsum("nc,nc->n", h, h) / h.shape[1] + eps)
    return h * r[:, None], r


def _jacobian(n, r, centered):
    """(N, C, C): how n[j] of a row changes with x[i]."""
    c = n.shape[1]
    j = torch.eye(c, dtype=n.dtype, device=n.device) - torch.einsum("ni,nj->nij", n, n) / c
    if centered:
        j = j - 1 / c
    return j * r[:, None, None]


def layer_norm(x, weight, bias, eps=1e-5):
    n, _ = _stats(x, eps, True)
    return (n * weight + bias).reshape(x.shape).to(x.dtype)


def rms_norm(x, weight, eps=1e-5):
    n, _ = _stats(x, eps, False)
    return (n * weight).reshape(x.shape).to(x.dtype)


def _backward(grad, x, weight, eps, centered):
    n, r = _stats(x, eps, centered)
    g = grad.to(n.dtype).reshape(n.shape)
    dx = torch.einsum("nij,nj->ni", _jacobian(n, r, centered), g * weight)
    dw = torch.einsum("nc,nc->c", g, n)
    return dx.reshape(x.shape).to(x.dtype), dw.to(weight.dtype), g.sum(0).to(weight.dtype)


def layer_norm_backward(grad, x, weight, eps=1e-5):
    return _backward(grad, x, weight, eps, True)


def rms_norm_backward(grad, x, weight, eps=1e-5):
    return _backward(grad, x, weight, eps, False)[:2]
