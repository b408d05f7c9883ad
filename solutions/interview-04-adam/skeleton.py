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
        # TODO(interview-04): about 12 lines. Check the values; keep them; state for each parameter
        raise NotImplementedError("problem interview-04: Adam.__init__")

    def step(self) -> None:
        """Update in place each parameter that has a gradient; the others keep state and count."""
        # TODO(interview-04): about 12 lines. Skip, count, two running means, correct, update
        raise NotImplementedError("problem interview-04: Adam.step")

    def zero_grad(self) -> None:
        """Forget all gradients: each becomes None (zeros would do too)."""
        # TODO(interview-04): 2 lines
        raise NotImplementedError("problem interview-04: Adam.zero_grad")


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
        # TODO(interview-04): 1 line, and a method that decays in the other way
        raise NotImplementedError("problem interview-04: AdamW.__init__")


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
    # TODO(interview-04): about 10 lines. Check, warmup, the end, the cosine
    raise NotImplementedError("problem interview-04: learning_rate")
