"""A mean of log-probabilities with weights of 0 and 1; nan_to_num makes ignored rows harmless."""

import torch
from torch import Tensor


def log_sum_exp(x: Tensor, dim: int = -1) -> Tensor:
    top = x.amax(dim)
    safe = torch.nan_to_num(top, neginf=0.0)
    return top.masked_fill(top == -torch.inf, 0) + (x - safe.unsqueeze(dim)).exp().sum(dim).log()


class _Loss:
    def __init__(self, logits, targets, ignore_index):
        self.kept = targets != ignore_index
        outside = self.kept & ~((0 <= targets) & (targets < logits.size(-1)))
        if outside.any():
            raise ValueError("no such class: " + str(targets[outside][0].item()))
        exact = torch.float64 if logits.dtype == torch.float64 else torch.float32
        x = logits.to(exact).masked_fill(~self.kept.unsqueeze(-1), 0.0)
        self.target = targets.masked_fill(~self.kept, 0).unsqueeze(-1)
        self.log_p = x - log_sum_exp(x).unsqueeze(-1)
        self.weight = self.kept.to(exact)
        self.weight = self.weight / self.weight.sum().clamp(min=1.0)

    def value(self):
        return -(self.log_p.gather(-1, self.target).squeeze(-1) * self.weight).sum()

    def slope(self, grad):
        p = self.log_p.exp()
        p = p.scatter(-1, self.target, p.gather(-1, self.target) - 1)
        return grad * p * self.weight.unsqueeze(-1)


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    return _Loss(logits, targets, ignore_index).value()


def cross_entropy_backward(grad, logits, targets, ignore_index=-100):
    return _Loss(logits, targets, ignore_index).slope(grad).to(logits.dtype)
