"""The softmax's whole matrix of derivatives for each row, and scaled queries instead of scaled scores."""

import torch
from torch import Tensor


def attention_forward(q: Tensor, k: Tensor, v: Tensor, causal: bool = True) -> tuple[Tensor, Tensor]:
    if causal and q.size(-2) != k.size(-2):
        raise ValueError(f"{q.size(-2)} queries, {k.size(-2)} keys")
    scaled = q * q.size(-1) ** -0.5
    scores = torch.matmul(scaled, k.transpose(-1, -2))
    if causal:
        n = q.size(-2)
        bias = torch.full((n, n), float("-inf"), dtype=q.dtype, device=q.device).triu(1)
        scores = scores + bias
    weights = scores.softmax(-1)
    return torch.matmul(weights, v), weights


def softmax_backward(grad_weights: Tensor, weights: Tensor) -> Tensor:
    jacobian = torch.diag_embed(weights) - weights.unsqueeze(-1) * weights.unsqueeze(-2)
    return torch.matmul(jacobian, grad_weights.unsqueeze(-1)).squeeze(-1)


def attention_backward(grad_out, q, k, v, weights):
    scale = q.size(-1) ** -0.5
    grad_scores = softmax_backward(torch.matmul(grad_out, v.transpose(-1, -2)), weights)
    grad_scaled = torch.matmul(grad_scores, k)
    return (
        scale * grad_scaled,
        torch.matmul(grad_scores.transpose(-1, -2), scale * q),
        torch.matmul(weights.transpose(-1, -2), grad_out),
    )
