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
    # lesson: about 3 lines. Center, divide by the root, scale and shift
    wide = _wide(x)
    normed, _ = _normalize(wide - wide.mean(-1, keepdim=True), eps)
    return (normed * weight + bias).to(x.dtype)


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
    # lesson: about 7 lines. The row again, the sums over rows, then the way through the root
    wide, grad = _wide(x), _wide(grad)
    normed, rstd = _normalize(wide - wide.mean(-1, keepdim=True), eps)
    grad_normed = grad * weight
    # x also moves the mean and the root of its row: what it does through them is taken off.
    by_mean = grad_normed.mean(-1, keepdim=True)
    by_root = normed * (grad_normed * normed).mean(-1, keepdim=True)
    grad_x = rstd * (grad_normed - by_mean - by_root)
    grads = _sum_of_rows(grad * normed), _sum_of_rows(grad)
    return grad_x.to(x.dtype), *(g.to(weight.dtype) for g in grads)


def rms_norm(x: Tensor, weight: Tensor, eps: float = 1e-5) -> Tensor:
    """(..., C) -> (..., C): each row divided by the root of its mean square, times weight (C,).

    eps is added to the mean square, under the root. Types are those of layer_norm.

    Source: Zhang and Sennrich (2019), section 4.
    """
    # lesson: about 2 lines. As layer_norm, without the mean and without a bias
    normed, _ = _normalize(_wide(x), eps)
    return (normed * weight).to(x.dtype)


def rms_norm_backward(
    grad: Tensor, x: Tensor, weight: Tensor, eps: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """The gradients of a loss by x (..., C) and weight (C,), from the one by rms_norm's output.

    Args:
        grad: (..., C), the gradient by the output.
        x, weight, eps: what rms_norm was given.
    """
    # lesson: about 5 lines. Which part of layer_norm_backward is left
    grad = _wide(grad)
    normed, rstd = _normalize(_wide(x), eps)
    grad_normed = grad * weight
    by_root = normed * (grad_normed * normed).mean(-1, keepdim=True)
    grad_x = rstd * (grad_normed - by_root)
    return grad_x.to(x.dtype), _sum_of_rows(grad * normed).to(weight.dtype)


def _wide(x: Tensor) -> Tensor:
    """The same numbers in float32, or in float64 where they are float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _normalize(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Rows with a mean square of 1, and what each row was multiplied with (..., 1)."""
    rstd = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
    return x * rstd, rstd


def _sum_of_rows(x: Tensor) -> Tensor:
    """(..., C) -> (C,)."""
    return x.reshape(-1, x.size(-1)).sum(0)
