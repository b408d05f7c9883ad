"""Cross-entropy over logits, forward and backward, written out by hand.

Shapes: V classes, the last axis; the axes before it, such as batch and tokens, are any number.
"""

import torch
from torch import Tensor


def log_sum_exp(x: Tensor, dim: int = -1) -> Tensor:
    """log(sum(exp(x))) along dim, which is gone from the result; no finite x overflows.

    A -inf counts nothing; where all are -inf, so is the result.
    """
    # lesson: about 4 lines. What may be taken out of all exponents, and is added in the end?
    highest = x.amax(dim, keepdim=True)
    highest = highest.masked_fill(highest == -torch.inf, 0.0)  # -inf - -inf is NaN
    return torch.log(torch.exp(x - highest).sum(dim)) + highest.squeeze(dim)


def cross_entropy(logits: Tensor, targets: Tensor, ignore_index: int = -100) -> Tensor:
    """The mean of -log softmax(logits)[target] over the targets that are not ignore_index.

    Args:
        logits: (..., V).
        targets: int64 (...), each in [0, V) or ignore_index.

    Returns:
        A scalar, in float32 at least; 0 where no target counts.

    Raises:
        ValueError: another target is outside of [0, V); the message names it.
    """
    # lesson: about 5 lines. Log-sum-exp minus the target's logit, and the mean of what counts
    counts, safe = _checked(targets, logits.size(-1), ignore_index)
    wide = _wide(logits)
    losses = log_sum_exp(wide) - wide.gather(-1, safe.unsqueeze(-1)).squeeze(-1)
    # where, not a product: a row that is ignored may hold anything, and 0 * inf is NaN.
    return torch.where(counts, losses, 0.0).sum() / counts.sum().clamp(min=1)


def cross_entropy_backward(
    grad: Tensor | float, logits: Tensor, targets: Tensor, ignore_index: int = -100
) -> Tensor:
    """The gradient by the logits, (..., V) in their dtype, from the one by cross_entropy's result.

    Args:
        grad: a number or a scalar tensor.
        logits, targets, ignore_index: what cross_entropy was given; the same ValueError.
    """
    # lesson: about 6 lines. The softmax, minus 1 at the target, shared out over what counts
    counts, safe = _checked(targets, logits.size(-1), ignore_index)
    wide = _wide(logits)
    error = torch.exp(wide - log_sum_exp(wide).unsqueeze(-1))  # the softmax, a new tensor
    error.scatter_add_(-1, safe.unsqueeze(-1), -torch.ones_like(error[..., :1]))
    error = error * grad / counts.sum().clamp(min=1)
    return torch.where(counts.unsqueeze(-1), error, 0.0).to(logits.dtype)


def _wide(x: Tensor) -> Tensor:
    """The same numbers in float32, or in float64 where they are float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _checked(targets: Tensor, classes: int, ignore_index: int) -> tuple[Tensor, Tensor]:
    """Which targets count, and the targets with 0 in the place of the others."""
    counts = targets != ignore_index
    wrong = targets[counts & ((targets < 0) | (targets >= classes))]
    if wrong.numel():
        raise ValueError(f"target {wrong[0].item()} is not in [0, {classes}), nor {ignore_index}")
    return counts, torch.where(counts, targets, 0)
