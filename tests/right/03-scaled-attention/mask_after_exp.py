"""Zeroes the powers before dividing, which is right too; the lowest number for the maximum of open scores."""

import torch


def softmax(scores, dim=-1):
    shifted = scores - scores.amax(dim=dim, keepdim=True)
    e = shifted.exp()
    return e.div(e.sum(dim=dim, keepdim=True))


def scaled_dot_product_attention(query, key, value, mask=None):
    d = key.shape[-1]
    scores = query @ key.transpose(-1, -2)
    scores = scores / torch.sqrt(torch.tensor(d, dtype=query.dtype, device=query.device))
    if mask is None:
        weights = softmax(scores)
    else:
        mask = mask.expand_as(scores)
        top = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).amax(-1, keepdim=True)
        e = torch.exp((scores - top).clamp(max=0)) * mask
        weights = e / e.sum(-1, keepdim=True)
    return weights @ value, weights
