"""Cross-entropy over logits, forward and backward, written out by hand.

Shapes: V classes, the last axis; the axes before it, such as batch and tokens, are any number.
"""

import torch
from torch import Tensor


def log_sum_exp(x: Tensor, dim: int = -1) -> Tensor:
    """log(sum(exp(x))) along dim, which is gone from the result; no finite x overflows.

    A -inf counts nothing; where all are -inf, so is the result.
    """
    # TODO(interview-10): about 4 lines. What may be taken out of all exponents, and is added in the end?
    raise NotImplementedError("problem interview-10: log_sum_exp")


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
    # TODO(interview-10): about 5 lines. Log-sum-exp minus the target's logit, and the mean of what counts
    raise NotImplementedError("problem interview-10: cross_entropy")


def cross_entropy_backward(
    grad: Tensor | float, logits: Tensor, targets: Tensor, ignore_index: int = -100
) -> Tensor:
    """The gradient by the logits, (..., V) in their dtype, from the one by cross_entropy's result.

    Args:
        grad: a number or a scalar tensor.
        logits, targets, ignore_index: what cross_entropy was given; the same ValueError.
    """
    # TODO(interview-10): about 6 lines. The softmax, minus 1 at the target, shared out over what counts
    raise NotImplementedError("problem interview-10: cross_entropy_backward")
