"""Two separate classes in the paper's letters, state in dicts made at the first gradient."""

import math

import torch


class Adam:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        params = [p for p in params]
        if len(params) == 0:
            raise ValueError("got no parameters: []")
        if lr < 0.0:
            raise ValueError(f"bad lr {lr}")
        if eps < 0.0:
            raise ValueError(f"bad eps {eps}")
        if weight_decay < 0.0:
            raise ValueError(f"bad weight_decay {weight_decay}")
        if not (0.0 <= betas[0] < 1.0 and 0.0 <= betas[1] < 1.0):
            raise ValueError(f"bad betas {betas}")
        self.theta, self.lr, self.b, self.eps, self.wd = params, lr, betas, eps, weight_decay
        self.state = {}

    def step(self):
        b1, b2 = self.b
        for p in self.theta:
            if p.grad is not None:
                g = p.grad.detach().clone()
                if self.wd != 0:
                    g += self.wd * p.detach()
                m, v, t = self.state.get(p, (0.0, 0.0, 0))
                t = t + 1
                m = b1 * m + (1 - b1) * g
                v = b2 * v + (1 - b2) * g * g
                self.state[p] = (m, v, t)
                alpha = self.lr / (1 - b1**t)
                with torch.no_grad():
                    p.sub_(alpha * m / (v.sqrt() / math.sqrt(1 - b2**t) + self.eps))

    def zero_grad(self):
        for p in self.theta:
            if p.grad is not None:
                p.grad.detach_()
                p.grad.zero_()


class AdamW:
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        self.adam = Adam(params, lr, betas, eps, 0.0)
        if weight_decay < 0:
            raise ValueError(weight_decay)
        self.wd = weight_decay
        self.lr = lr

    def step(self):
        for p in self.adam.theta:
            if p.grad is None:
                continue
            p.data -= self.lr * self.wd * p.data
        self.adam.lr = self.lr
        self.adam.step()

    def zero_grad(self):
        self.adam.zero_grad()


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    for count in (step, warmup_steps, total_steps):
        if count < 0:
            raise ValueError(count)
    if total_steps < warmup_steps:
        raise ValueError("the warmup is longer than the run")
    if step < warmup_steps:
        return step / warmup_steps * max_lr
    left = total_steps - step
    if left <= 0:
        return min_lr
    return (
        min_lr
        + (max_lr - min_lr) * math.sin(math.pi / 2 * left / (total_steps - warmup_steps)) ** 2
    )
