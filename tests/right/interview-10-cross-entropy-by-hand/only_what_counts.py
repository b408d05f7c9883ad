"""Rows that do not count are dropped first by indexing, and the rest is a matrix (N, V)."""

import math

import torch
from torch import Tensor


def log_sum_exp(x: Tensor, dim: int = -1) -> Tensor:
    highest = x.detach().amax(dim=dim, keepdim=True).clamp(min=torch.finfo(x.dtype).min)
    return torch.exp(x - highest).sum(dim=dim, keepdim=True).log().add(highest).squeeze(dim)


def _rows(logits: Tensor, targets: Tensor, ignore_index: int) -> tuple[Tensor, Tensor, Tensor]:
    flat = targets.reshape(-1)
    (where,) = torch.nonzero(flat != ignore_index, as_tuple=True)
    t = flat[where]
    for value in t.unique().tolist():
        if value not in range(logits.size(-1)):
            raise ValueError(f"no class {value}")
    x = logits.reshape(-1, logits.size(-1))[where]
    return x.to(torch.promote_types(x.dtype, torch.float32)), t, where


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    x, t, _ = _rows(logits, targets, ignore_index)
    if not len(t):
        return x.sum()
    rows = torch.arange(len(t), device=t.device)
    return (log_sum_exp(x, 1) - x[rows, t]).mean()


def cross_entropy_backward(grad, logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    x, t, where = _rows(logits, targets, ignore_index)
    rows = torch.arange(len(t), device=t.device)
    p = torch.exp(x - log_sum_exp(x, 1)[:, None])
    p[rows, t] -= 1
    p *= float(grad) / len(t) if len(t) else math.nan
    out = torch.zeros(targets.numel(), logits.size(-1), dtype=logits.dtype, device=logits.device)
    out[where] = p.to(logits.dtype)
    return out.view(logits.shape)
