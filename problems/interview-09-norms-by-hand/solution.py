"""LayerNorm and RMSNorm, forward and backward, written out by hand.

Shapes: C channels, the last axis; the axes before it are any number, and each row is normed alone.
"""

import torch
from torch import Tensor


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-5) -> Tensor:
    """(..., C) -> (..., C): each row to mean 0 and variance 1, times weight (C,), plus bias (C,).

    The variance is the mean of the squared distances from the mean; eps is added to it under the
    root. The result has the dtype of x; in half precision it is computed in float32.

    Source: Ba, Kiros and Hinton (2016), section 3.
    """
    # TODO(interview-09): about 3 lines. Center, divide by the root, scale and shift
    raise NotImplementedError("problem interview-09: layer_norm")


def layer_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-5
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of a loss by x, weight and bias, from the one by the output of layer_norm.

    Args:
        grad: (..., C), the gradient by the output.
        x, weight, eps: what layer_norm was given.

    Returns:
        grad_x (..., C), grad_weight (C,) and grad_bias (C,).
    """
    # TODO(interview-09): about 7 lines. The row again, the sums over rows, then the way through the root
    raise NotImplementedError("problem interview-09: layer_norm_backward")


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """(..., C) -> (..., C): each row divided by the root of its mean square, times weight (C,).

    eps is added to the mean square, under the root. Types are those of layer_norm.

    Source: Zhang and Sennrich (2019), section 4.
    """
    # TODO(interview-09): about 2 lines. As layer_norm, without the mean and without a bias
    raise NotImplementedError("problem interview-09: rms_norm")


def rms_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """The gradients of a loss by x (..., C) and weight (C,), from the one by rms_norm's output.

    Args:
        grad: (..., C), the gradient by the output.
        x, weight, eps: what rms_norm was given.
    """
    # TODO(interview-09): about 5 lines. Which part of layer_norm_backward is left
    raise NotImplementedError("problem interview-09: rms_norm_backward")
