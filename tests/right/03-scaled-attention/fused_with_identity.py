"""Fused attention on values with an identity beside them, which brings the weights out; softmax by two in-place steps."""

import torch
import torch.nn.functional as F


def softmax(scores, dim=-1):
    shifted = scores - torch.amax(scores, dim=dim, keepdim=True)
    powers = shifted.exp_()
    return powers * powers.sum(dim=dim, keepdim=True).reciprocal()


def scaled_dot_product_attention(query, key, value, mask=None):
    S, E = value.shape[-2:]
    columns = torch.eye(S, dtype=value.dtype, device=value.device).expand(*value.shape[:-1], S)
    both = F.scaled_dot_product_attention(query, key, torch.cat([value, columns], -1), attn_mask=mask)
    output, weights = both[..., :E], both[..., E:]
    return output, weights
