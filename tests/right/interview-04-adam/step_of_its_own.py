"""step and zero_grad are closures that each optimizer gets as attributes of its own; no method is left."""

import math

import torch


class Adam:
    decoupled = False

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        params = [*params]
        if not params:
            raise ValueError("no parameter was given: params is empty")
        for value in (lr, eps, weight_decay):
            if value < 0:
                raise ValueError(f"{value} is below 0")
        if wrong := [b for b in betas if not 0 <= b < 1]:
            raise ValueError(f"beta {wrong[0]} is not in [0, 1)")
        self.lr = lr
        kept = [{"p": p, "t": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)} for p in params]

        @torch.no_grad()
        def step():
            for own in kept:
                p = own["p"]
                if p.grad is None:
                    continue
                grad = p.grad
                if self.decoupled:
                    p.mul_(1 - self.lr * weight_decay)
                else:
                    grad = grad + weight_decay * p
                own["t"] += 1
                own["m"].lerp_(grad, 1 - betas[0])
                own["v"].mul_(betas[1]).addcmul_(grad, grad, value=1 - betas[1])
                first = own["m"] / (1 - betas[0] ** own["t"])
                second = own["v"] / (1 - betas[1] ** own["t"])
                p.sub_(self.lr * first / (second.sqrt() + eps))

        def zero_grad():
            for own in kept:
                own["p"].grad = None

        self.step, self.zero_grad = step, zero_grad


class AdamW(Adam):
    decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        super().__init__(params, lr, betas, eps, weight_decay)


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if min(step, warmup_steps, total_steps) < 0 or total_steps < warmup_steps:
        raise ValueError(f"step={step}, warmup_steps={warmup_steps}, total_steps={total_steps}")
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    if step >= total_steps:
        return min_lr
    done = (step - warmup_steps) / (total_steps - warmup_steps)
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * done)) / 2
