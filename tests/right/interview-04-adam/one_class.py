"""AdamW first, Adam as its subclass; a small record for each parameter, powers of beta kept up to date."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class Slot:
    param: Tensor
    mean: Tensor
    power: Tensor
    left1: float = 1.0
    left2: float = 1.0


def _check(ok, text):
    if not ok:
        raise ValueError(text)


class AdamW:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        _check(lr >= 0, f"lr must be >= 0: {lr}")
        _check(eps >= 0, f"eps must be >= 0: {eps}")
        _check(weight_decay >= 0, f"weight_decay must be >= 0: {weight_decay}")
        for b in betas:
            _check(b >= 0 and b < 1, f"beta out of range: {b}")
        self.slots = [
            Slot(
                p,
                torch.zeros_like(p, requires_grad=False),
                torch.zeros_like(p, requires_grad=False),
            )
            for p in params
        ]
        _check(self.slots, "no parameters")
        self.lr = lr
        self.betas = betas
        self.eps = eps
        self.weight_decay = weight_decay

    def shrink(self, p, g):
        p.copy_(p - self.lr * self.weight_decay * p)
        return g

    def step(self):
        beta1, beta2 = self.betas
        with torch.no_grad():
            for s in self.slots:
                p, g = s.param, s.param.grad
                if g is None:
                    continue
                g = self.shrink(p, g)
                s.left1 *= beta1
                s.left2 *= beta2
                s.mean += (1 - beta1) * (g - s.mean)
                s.power += (1 - beta2) * (g.square() - s.power)
                root = torch.sqrt(s.power / (1 - s.left2)) + self.eps
                p.copy_(p - self.lr * (s.mean / (1 - s.left1)) / root)

    def zero_grad(self):
        for s in self.slots:
            if s.param.grad is not None:
                s.param.grad = torch.zeros_like(s.param.grad)


class Adam(AdamW):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        super().__init__(params, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def shrink(self, p, g):
        return torch.add(g, p, alpha=self.weight_decay)


def learning_rate(
    step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int
) -> float:
    _check(step >= 0 and warmup_steps >= 0 and total_steps >= 0, "negative")
    _check(warmup_steps <= total_steps, "too long a warmup")
    if step >= total_steps:
        return float(min_lr)
    if warmup_steps and step < warmup_steps:
        return float(max_lr) * step / warmup_steps
    angle = math.radians(180 * (step - warmup_steps) / (total_steps - warmup_steps))
    return (max_lr + min_lr) / 2 + (max_lr - min_lr) / 2 * math.cos(angle)
