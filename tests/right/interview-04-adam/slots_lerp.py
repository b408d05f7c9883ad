"""A record for each parameter, fused in-place operations, products of the betas instead of powers, a flag for the decay."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class Slot:
    p: Tensor
    m: Tensor
    v: Tensor
    left1: float = 1.0  # beta1^t
    left2: float = 1.0


class Adam:
    decoupled = False

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0):
        self.slots = [Slot(p, torch.zeros_like(p), torch.zeros_like(p)) for p in params]
        if len(self.slots) < 1:
            raise ValueError("no parameters")
        if min(lr, eps, weight_decay) < 0:
            raise ValueError(f"below 0: lr={lr}, eps={eps} or weight_decay={weight_decay}")
        if min(betas) < 0 or max(betas) >= 1:
            raise ValueError(f"betas={betas} are not both in [0, 1)")
        self.lr = lr
        self.beta1, self.beta2 = betas
        self.eps, self.decay = eps, weight_decay

    def step(self):
        with torch.no_grad():
            for slot in filter(lambda slot: slot.p.grad is not None, self.slots):
                self.update(slot, slot.p.grad)

    def update(self, slot, g):
        if self.decay and self.decoupled:
            slot.p.sub_(slot.p, alpha=self.lr * self.decay)
        elif self.decay:
            g = torch.add(g, slot.p, alpha=self.decay)
        slot.m.lerp_(g, 1 - self.beta1)
        slot.v.mul_(self.beta2).addcmul_(g, g, value=1 - self.beta2)
        slot.left1 *= self.beta1
        slot.left2 *= self.beta2
        root = (slot.v / (1 - slot.left2)).sqrt_().add_(self.eps)
        slot.p.addcdiv_(slot.m, root, value=-self.lr / (1 - slot.left1))

    def zero_grad(self):
        for slot in self.slots:
            slot.p.grad = None


class AdamW(Adam):
    decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01):
        Adam.__init__(self, params, lr, betas, eps, weight_decay)


def learning_rate(step, max_lr, min_lr, warmup_steps, total_steps):
    if not 0 <= warmup_steps <= total_steps or step < 0:
        raise ValueError(f"step {step} of {total_steps} with a warmup of {warmup_steps}")
    if step < warmup_steps:
        return step * max_lr / warmup_steps
    done = 1.0 if step >= total_steps else (step - warmup_steps) / (total_steps - warmup_steps)
    share = math.cos(math.pi * done / 2) ** 2
    return share * max_lr + (1 - share) * min_lr
