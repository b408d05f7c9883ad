"""The two norms as classes of one base with forward and backward; everything in double on the way."""

import torch


class _Norm:
    centered: bool

    def __init__(self, x, eps):
        self.like = x
        h = x.double()
        if self.centered:
            h = h - torch.mean(h, -1, True)
        self.rms = torch.linalg.vector_norm(h, dim=-1, keepdim=True).square()
        self.rms = (self.rms / x.shape[-1] + eps).sqrt()
        self.n = h / self.rms

    def forward(self, weight, bias=None):
        y = torch.mul(self.n, weight)
        return (y if bias is None else y + bias).to(self.like.dtype)

    def backward(self, grad, weight):
        grad = grad.double()
        a = grad * weight
        dx = a - torch.mean(a * self.n, -1, True) * self.n
        if self.centered:
            dx = dx - torch.mean(dx, -1, True)
        dw = grad * self.n
        sums = [t.sum_to_size(weight.shape).to(weight.dtype) for t in (dw, grad)]
        return (dx / self.rms).to(self.like.dtype), sums[0], sums[1].clone()


class _Layer(_Norm):
    centered = True


class _RMS(_Norm):
    centered = False


def layer_norm(x, weight, bias, eps=1e-5):
    return _Layer(x, eps).forward(weight, bias)


def layer_norm_backward(grad, x, weight, eps=1e-5):
    return _Layer(x, eps).backward(grad, weight)


def rms_norm(x, weight, eps=1e-5):
    return _RMS(x, eps).forward(weight)


def rms_norm_backward(grad, x, weight, eps=1e-5):
    dx, dw, _ = _RMS(x, eps).backward(grad, weight)
    return dx, dw
