"""PyTorch's logsumexp and log_softmax; the mean as a dot product, the check by isin."""

import torch
import torch.nn.functional as F


def log_sum_exp(x, dim=-1):
    return torch.logsumexp(x, dim)


def _split(logits, targets, ignore_index):
    v = logits.size(-1)
    classes = torch.arange(v, device=targets.device)
    targets = targets.reshape(-1)
    strange = ~torch.isin(targets, classes) & (targets != ignore_index)
    if strange.any():
        raise ValueError(f"unknown class {targets[strange].tolist()}")
    dtype = torch.promote_types(torch.float32, logits.dtype)
    ignored = targets == ignore_index
    x = logits.reshape(-1, v).to(dtype)
    x = torch.where(ignored[:, None], torch.zeros((), dtype=dtype, device=x.device), x)
    return F.log_softmax(x, dim=1), targets.clamp(0, v - 1), ignored


def cross_entropy(logits, targets, ignore_index=-100):
    log_p, t, ignored = _split(logits, targets, ignore_index)
    counts = (~ignored).to(log_p.dtype)
    found = torch.take_along_dim(log_p, t[:, None], 1)[:, 0]
    return -torch.dot(found, counts) / torch.clamp(counts.sum(), min=1)


def cross_entropy_backward(grad, logits, targets, ignore_index=-100):
    log_p, t, ignored = _split(logits, targets, ignore_index)
    n = max(1, (~ignored).sum().item())
    error = log_p.exp() - F.one_hot(t, logits.size(-1)).to(log_p.dtype)
    error[ignored] = 0
    return (error * (grad / n)).to(logits.dtype).reshape(logits.shape)
