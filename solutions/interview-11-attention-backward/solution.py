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
    # lesson: about 8 lines. Check, scores, mask, softmax, values
    T, S = q.size(-2), k.size(-2)
    scores = q @ k.mT / math.sqrt(q.size(-1))  # (..., T, S)
    if causal:
        if T != S:
            raise ValueError(f"causal attention has a key for each query, not T = {T} and S = {S}")
        visible = torch.ones(T, S, dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~visible, -torch.inf)
    weights = torch.softmax(scores, dim=-1)
    return weights @ v, weights


def softmax_backward(grad_weights: Tensor, weights: Tensor) -> Tensor:
    """The gradient of the scores, from that of weights = softmax(scores), along the last axis.

    Args:
        grad_weights, weights: (..., S). A weight may be exactly 0 or 1.

    Returns:
        (..., S).
    """
    # lesson: about 2 lines
    # A score moves its own weight, and through the sum below the line all weights of its row.
    mean = (weights * grad_weights).sum(dim=-1, keepdim=True)
    return weights * (grad_weights - mean)


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
    # lesson: about 4 lines. From the output to the inputs, one product after the other
    # No mask is needed: a hidden position has the weight 0, and so its score the gradient 0.
    grad_v = weights.mT @ grad_out
    grad_weights = grad_out @ v.mT  # (..., T, S)
    grad_scores = softmax_backward(grad_weights, weights) / math.sqrt(q.size(-1))
    return grad_scores @ k, grad_scores.mT @ q, grad_v
