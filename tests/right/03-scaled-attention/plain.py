import math

import torch


def softmax(scores, dim=-1):
    shifted = scores - scores.amax(dim=dim, keepdim=True)
    exp = torch.exp(shifted)
    return exp / exp.sum(dim=dim, keepdim=True)


def scaled_dot_product_attention(query, key, value, mask=None):
    if query.size(-1) != key.size(-1):
        raise ValueError(f"query has size {query.size(-1)} and key {key.size(-1)} in the last dimension; they must be equal")
    if key.size(-2) != value.size(-2):
        raise ValueError(f"key holds {key.size(-2)} tokens and value {value.size(-2)}; they must be equal")
    scores = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        if mask.dtype != torch.bool:
            raise TypeError(f"mask has dtype {mask.dtype}, only torch.bool is allowed")
        try:
            torch.broadcast_to(mask, scores.shape)
        except RuntimeError:
            raise ValueError(f"mask of shape {tuple(mask.shape)} does not broadcast to {tuple(scores.shape)}")
        scores = scores.masked_fill(~mask, float("-inf"))
    weights = softmax(scores, dim=-1)
    return weights @ value, weights
