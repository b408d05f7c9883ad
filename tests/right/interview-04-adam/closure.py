"""State in closures: each parameter gets a function that updates it, and AdamW is made of the same parts."""

import math

import torch


def updater(p, betas, eps):
    """A function that takes lr and a gradient, and remembers."""
    b1, b2 = betas
    m = v = 0.0
    t = 0

    def update(lr, g):
        nonlocal m, v, t
        t += 1
        m = m + (1 - b1) * (g - m)
        v = v + (1 - b2) * (g.square() - v)
        p.data.copy_(p.data - lr * (m / (1 - b1**t)) / (torch.sqrt(v / (1 - b2**t)) + eps))

    return update


def checked(params, lr, betas, eps, weight_decay):
    params = tuple(params)
    if not params:
        raise ValueError("params is empty")
    for value in (lr, eps, weight_decay):
        if not value >= 0:
            raise ValueError(f"{value} is negative")
    for beta in betas:
        if not (beta >= 0 and beta < 1):
            raise ValueError(f"a beta of {beta}")
    return [(p, updater(p, betas, eps)) for p in params]


def zero(pairs):
    for p, _ in pairs:
        if p.grad is not None:
            p.grad.zero_()


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        pairs = checked(params, lr, betas, eps, weight_decay)
        self.lr = lr

        def step():
            for p, update in pairs:
                if p.grad is not None:
                    update(self.lr, p.grad.clone() + weight_decay * p.data)

        self.step = step
        self.zero_grad = lambda: zero(pairs)


class AdamW:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        self._pairs = checked(params, lr, betas, eps, weight_decay)
        self.lr, self._decay = lr, weight_decay

    @torch.no_grad()
    def step(self):
        for p, update in self._pairs:
            if (g := p.grad) is None:
                continue
            p.add_(p * (-self.lr * self._decay))
            update(self.lr, g)

    def zero_grad(self):
        zero(self._pairs)


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if any(n < 0 for n in (step, warmup_steps, total_steps)) or warmup_steps > total_steps:
        raise ValueError(f"{(step, warmup_steps, total_steps)}")
    way = [
        (step < warmup_steps, lambda: max_lr * (step / warmup_steps)),
        (step >= total_steps, lambda: min_lr),
        (True, lambda: min_lr + 0.5 * (max_lr - min_lr) * (1.0 + math.cos(angle()))),
    ]

    def angle():
        return math.pi * (step - warmup_steps) / (total_steps - warmup_steps)

    return float(next(rate() for here, rate in way if here))
