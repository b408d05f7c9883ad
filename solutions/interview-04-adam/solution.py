"""Adam and AdamW from scratch, and the learning rate's way through a training run."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor


class Adam:
    """Adam, with weight_decay as L2: weight_decay times the parameter is added to its gradient.

    `lr` is an attribute that may be assigned between steps.

    Args:
        params: tensors to update, a list or any iterable, a generator too.
        betas: how much of the running means of gradient and squared gradient each step keeps.

    Raises:
        ValueError: lr, eps or weight_decay is negative, a beta is outside [0, 1), or there is no
            parameter; the message names the value.

    Source: Kingma and Ba (2014), algorithm 1.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        # lesson: about 12 lines. Check the values; keep them; state for each parameter
        self.params = list(params)  # a generator can be walked through only once
        if not self.params:
            raise ValueError("params is empty: there is nothing to optimize")
        for name, value in {"lr": lr, "eps": eps, "weight_decay": weight_decay}.items():
            if value < 0:
                raise ValueError(f"{name} must not be negative, but is {value}")
        for beta in betas:
            if not 0 <= beta < 1:
                raise ValueError(f"each beta must be in [0, 1), but one is {beta}")
        self.lr, self.betas, self.eps, self.weight_decay = lr, betas, eps, weight_decay
        self.steps = [0 for _ in self.params]
        self.means = [torch.zeros_like(p) for p in self.params]
        self.squares = [torch.zeros_like(p) for p in self.params]

    @torch.no_grad()  # lesson
    def step(self) -> None:
        """Update in place each parameter that has a gradient; the others keep state and count."""
        # lesson: about 12 lines. Skip, count, two running means, correct, update
        beta1, beta2 = self.betas
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            grad = self._decay(p)
            mean, square = self.means[i], self.squares[i]
            self.steps[i] += 1
            mean.mul_(beta1).add_((1 - beta1) * grad)
            square.mul_(beta2).add_((1 - beta2) * grad**2)
            # Both start at 0 and so are too small at first; after t steps by the factor 1 - beta^t.
            mean_hat = mean / (1 - beta1 ** self.steps[i])
            square_hat = square / (1 - beta2 ** self.steps[i])
            p -= self.lr * mean_hat / (square_hat.sqrt() + self.eps)

    def _decay(self, p: Tensor) -> Tensor:
        """The gradient to go by, after weight decay."""
        return p.grad + self.weight_decay * p

    def zero_grad(self) -> None:
        """Forget all gradients: each becomes None (zeros would do too)."""
        # lesson: 2 lines
        for p in self.params:
            p.grad = None


class AdamW(Adam):
    """Adam with decoupled decay: each step first shrinks a parameter by lr * weight_decay of itself.

    Arguments, attributes and errors are Adam's; weight_decay is 0.01 unless given.

    Source: Loshchilov and Hutter (2017), algorithm 2, with the decay times lr as in PyTorch.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        # lesson: 1 line, and a method that decays in the other way
        super().__init__(params, lr, betas, eps, weight_decay)

    def _decay(self, p: Tensor) -> Tensor:
        p.mul_(1 - self.lr * self.weight_decay)
        return p.grad


def learning_rate(
    step: int, max_lr: float, min_lr: float, warmup_steps: int, total_steps: int
) -> float:
    """Linear warmup from 0 to max_lr, then a cosine down to min_lr at total_steps, then min_lr.

    Args:
        step: counted from 0.
        warmup_steps: may be 0, and at most total_steps.

    Raises:
        ValueError: warmup_steps is above total_steps, or a count is negative.
    """
    # lesson: about 10 lines. Check, warmup, the end, the cosine
    if min(step, warmup_steps, total_steps) < 0:
        raise ValueError(f"a count is negative: {step=}, {warmup_steps=}, {total_steps=}")
    if warmup_steps > total_steps:
        raise ValueError(f"{warmup_steps=} is above {total_steps=}")
    if step < warmup_steps:
        return max_lr * step / warmup_steps
    if step >= total_steps:
        return min_lr
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return min_lr + (max_lr - min_lr) * (1 + math.cos(math.pi * progress)) / 2
