"""A low finite fill, weights multiplied by the mask; a loop over heads."""

import torch


def masked_softmax(scores, mask, dim=-1):
    low = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    top, _ = low.detach().max(dim=dim, keepdim=True)
    e = (low - top).exp() * mask
    total = e.sum(dim=dim, keepdim=True)
    return e / torch.where(total > 0, total, torch.ones_like(total))


def multi_head_attention(
    x,
    in_proj_weight,
    in_proj_bias,
    out_proj_weight,
    out_proj_bias,
    num_heads,
    key_padding_mask=None,
    causal=True,
):
    B, T, C = x.size()
    if num_heads < 1:
        raise ValueError(f"num_heads is {num_heads}, C is {C}")
    if C % num_heads:
        raise ValueError(f"num_heads={num_heads} does not divide C={C}")
    D = C // num_heads
    if key_padding_mask is None:
        key_padding_mask = torch.ones((B, T), dtype=torch.bool, device=x.device)
    mask = key_padding_mask.unsqueeze(1).repeat(1, T, 1)
    if causal:
        mask = torch.tril(mask)
    projected = x @ in_proj_weight.t() + in_proj_bias
    outs = []
    for h in range(num_heads):
        q = projected[..., h * D : (h + 1) * D]
        k = projected[..., C + h * D : C + (h + 1) * D]
        v = projected[..., 2 * C + h * D : 2 * C + (h + 1) * D]
        outs.append(masked_softmax((q * D**-0.25) @ (k * D**-0.25).transpose(-2, -1), mask) @ v)
    return torch.cat(outs, dim=-1) @ out_proj_weight.t() + out_proj_bias
