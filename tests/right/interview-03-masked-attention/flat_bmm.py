"""Heads folded into the batch for torch.bmm; an additive mask of 0 and -inf; the empty rows are mended before exp."""

import torch


def _bias(mask, like):
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill(~mask, -torch.inf)


def masked_softmax(scores, mask, dim=-1):
    some = mask.broadcast_to(scores.shape).any(dim, keepdim=True)
    full = torch.where(mask, scores, 0.0) + _bias(mask | ~some, scores)
    full = full - full.max(dim, keepdim=True).values.detach()
    powers = full.exp()
    return powers / powers.sum(dim, keepdim=True) * some


def multi_head_attention(
    x, in_proj_weight, in_proj_bias, out_proj_weight, out_proj_bias, num_heads, key_padding_mask=None, causal=True
):
    B, T, C = x.size()
    if num_heads < 1 or C != C // num_heads * num_heads:
        raise ValueError("num_heads %d, C %d" % (num_heads, C))
    rows = torch.addmm(in_proj_bias, x.reshape(B * T, C), in_proj_weight.mT)
    qkv = rows.view(B, T, 3, num_heads, C // num_heads).permute(2, 0, 3, 1, 4).reshape(3, B * num_heads, T, -1)
    scores = torch.bmm(qkv[0], qkv[1].mT).mul((C // num_heads) ** -0.5)
    mask = torch.ones(B, T, T, dtype=torch.bool, device=x.device)
    if key_padding_mask is not None:
        mask &= key_padding_mask[:, None]
    if causal:
        mask &= torch.arange(T, device=x.device) <= torch.arange(T, device=x.device)[:, None]
    heads = torch.bmm(masked_softmax(scores, mask.repeat_interleave(num_heads, 0)), qkv[2])
    merged = heads.view(B, num_heads, T, -1).transpose(1, 2).reshape(B * T, C)
    return torch.addmm(out_proj_bias, merged, out_proj_weight.mT).view(B, T, C)
