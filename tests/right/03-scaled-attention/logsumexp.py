"""softmax through logsumexp, additive mask, scaled query."""

import torch


def softmax(scores, dim=-1):
    shifted = scores - scores.amax(dim, keepdim=True)
    return (shifted - torch.logsumexp(shifted, dim=dim, keepdim=True)).exp()


def scaled_dot_product_attention(query, key, value, mask=None):
    scores = torch.einsum("...td,...sd->...ts", query * query.shape[-1] ** -0.5, key)
    if mask is not None:
        bias = torch.zeros(mask.shape, dtype=scores.dtype, device=scores.device)
        bias = bias.masked_fill(mask.logical_not(), float("-inf"))
        scores = scores + bias
    weights = softmax(scores)
    return torch.einsum("...ts,...se->...te", weights, value), weights
