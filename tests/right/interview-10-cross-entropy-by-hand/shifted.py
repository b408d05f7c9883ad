"""Rows are shifted once, and log-probabilities are made of them; one-hot by comparison with arange."""

import torch


def log_sum_exp(x, dim=-1):
    m = torch.max(x, dim=dim, keepdim=True).values
    m = torch.where(torch.isinf(m), torch.zeros_like(m), m)
    return (x - m).exp().sum(dim=dim).log() + m.squeeze(dim)


def _prepare(logits, targets, ignore_index):
    kept = targets.ne(ignore_index)
    classes = logits.shape[-1]
    bad = kept & (targets.lt(0) | targets.ge(classes))
    if bool(bad.any()):
        raise ValueError(f"targets {targets[bad].tolist()} with {classes} classes")
    x = logits.double() if logits.dtype == torch.float64 else logits.float()
    x = torch.where(kept[..., None], x, torch.zeros_like(x))
    shifted = x - x.max(-1, keepdim=True).values
    return kept, kept.sum(), shifted, shifted.exp()


def cross_entropy(logits, targets, ignore_index=-100):
    kept, n, shifted, powers = _prepare(logits, targets, ignore_index)
    if n == 0:
        return shifted.new_zeros(())
    picked = shifted.gather(-1, targets.where(kept, torch.zeros_like(targets))[..., None])[..., 0]
    losses = powers.sum(-1).log() - picked
    return losses[kept].sum() / n


def cross_entropy_backward(grad, logits, targets, ignore_index=-100):
    kept, n, _, powers = _prepare(logits, targets, ignore_index)
    softmax = powers / powers.sum(-1, keepdim=True)
    one_hot = targets[..., None] == torch.arange(logits.shape[-1], device=logits.device)
    found = (softmax - one_hot.to(softmax.dtype)) * kept[..., None]
    return (found / max(int(n), 1) * grad).to(logits.dtype)
