"""Computes in float32 or better and casts back; the scale split between queries and keys; baddbmm's cousins left out."""

import math
from typing import NamedTuple

import torch
from torch import Tensor


class Gradients(NamedTuple):
    q: Tensor
    k: Tensor
    v: Tensor


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.to(torch.float32)


def attention_forward(q, k, v, causal=True):
    T, S = q.size(-2), k.size(-2)
    mask = None
    if causal:
        if T != S:
            raise ValueError(f"causal=True needs T == S, but T is {T}, S is {S}")
        mask = torch.tril(torch.ones(T, T, device=q.device)).log()  # 0 and -inf
    root = q.size(-1) ** 0.25
    scores = (_wide(q) / root) @ (_wide(k) / root).transpose(-2, -1)
    if mask is not None:
        scores = scores + mask.to(scores.dtype)
    weights = scores.softmax(dim=-1)
    return (weights @ _wide(v)).to(q.dtype), weights.to(q.dtype)


@torch.no_grad()
def softmax_backward(grad_weights, weights):
    g, p = _wide(grad_weights), _wide(weights)
    centred = g - g.amax(dim=-1, keepdim=True)  # any constant may be taken off first
    return (p * (centred - (p * centred).sum(-1, keepdim=True) / p.sum(-1, keepdim=True))).to(weights.dtype)


@torch.no_grad()
def attention_backward(grad_out, q, k, v, weights):
    p, do = _wide(weights), _wide(grad_out)
    ds = softmax_backward(torch.matmul(do, _wide(v).mT), p)
    gq, gk = torch.matmul(ds, _wide(k)), torch.matmul(_wide(q).mT, ds).mT
    c = math.sqrt(q.size(-1))
    return Gradients((gq / c).to(q.dtype), (gk / c).to(k.dtype), torch.matmul(do.mT, p).mT.to(v.dtype))
