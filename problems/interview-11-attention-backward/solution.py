"""Causal scaled dot-product attention, and its backward pass by hand.

Shapes: T queries, S keys, D channels of a query or key, E channels of a value; "..." are leading
axes, as (B, H) for batch and heads, the same for all tensors.
"""

import math

import torch
from torch import Tensor


def attention_forward(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = True
) -> tuple[Tensor, Tensor]:
    """Each query's mean of the values, and the weights that it was made with.

    Args:
        q, k, v: (..., T, D), (..., S, D) and (..., S, E).
        causal: query i sees keys 0 to i.

    Returns:
        out (..., T, E) and weights (..., T, S).

    Raises:
        ValueError: causal, and T is not S; the message names both.
    """
    # TODO(interview-11): about 8 lines. Check, scores, mask, softmax, values
    raise NotImplementedError("problem interview-11: attention_forward")


def softmax_backward(grad_weights: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the scores, from that of weights = softmax(scores), along the last axis.

    Args:
        grad_weights, weights: (..., S). A weight may be exactly 0 or 1.

    Returns:
        (..., S).
    """
    # TODO(interview-11): about 2 lines
    raise NotImplementedError("problem interview-11: softmax_backward")


def attention_backward(
    grad_out: Tensor, q: Tensor, k: Tensor, v: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of q, k and v, from that of attention_forward's out.

    Args:
        grad_out: (..., T, E).
        q, k, v, weights: what attention_forward was given, and the weights that it returned.

    Returns:
        grad_q (..., T, D), grad_k (..., S, D) and grad_v (..., S, E).
    """
    # TODO(interview-11): about 4 lines. From the output to the inputs, one product after the other
    raise NotImplementedError("problem interview-11: attention_backward")
