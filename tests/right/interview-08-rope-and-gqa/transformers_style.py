"""As in transformers' Llama: cos and sin of full width, rotate_half, expand and reshape for the groups, torch's attention."""

import torch
import torch.nn.functional as F
from torch import nn


def _rotate_half(x):
    x1 = x[..., : x.shape[-1] // 2]
    x2 = x[..., x.shape[-1] // 2 :]
    return torch.cat((-x2, x1), dim=-1)


def rotate(x, positions, base=10000.0):
    D = x.shape[-1]
    if D % 2 != 0:
        raise ValueError(f"rotary embeddings need an even number of channels, not {D}")
    inv_freq = 1.0 / (base ** (torch.arange(0, D, 2, device=x.device).float() / D))
    if positions.dim() == 1:
        positions = positions.unsqueeze(0)
    freqs = positions[:, :, None].float() * inv_freq
    emb = torch.cat((freqs, freqs), dim=-1).unsqueeze(1)
    return (x * emb.cos() + _rotate_half(x) * emb.sin()).to(x.dtype)


def repeat_kv(x, n_rep):
    batch, heads, length, size = x.shape
    if n_rep == 1:
        return x
    return x[:, :, None, :, :].expand(batch, heads, n_rep, length, size).reshape(batch, heads * n_rep, length, size)


class GroupedQueryAttention(nn.Module):
    def __init__(self, n_embd, n_head, n_kv_head, base=10000.0):
        super().__init__()
        for name, value in (("n_embd", n_embd), ("n_head", n_head), ("n_kv_head", n_kv_head)):
            if value <= 0:
                raise ValueError(f"{name} is {value}")
        if n_embd % n_head != 0:
            raise ValueError(f"{n_embd} channels cannot be shared by {n_head} heads")
        if n_head % n_kv_head != 0:
            raise ValueError(f"{n_head} heads cannot form groups around {n_kv_head}")
        if n_embd // n_head % 2 == 1:
            raise ValueError(f"heads of {n_embd // n_head} channels cannot be rotated")
        self.n_head, self.n_kv_head, self.head_dim, self.base = n_head, n_kv_head, n_embd // n_head, base
        D = n_embd // n_head
        self.q_proj = nn.Linear(n_embd, n_embd, bias=False)
        self.k_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.v_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.o_proj = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x, positions=None):
        B, T, _ = x.shape
        positions = torch.arange(T, device=x.device) if positions is None else positions
        q = self.q_proj(x).view(B, T, self.n_head, self.head_dim).transpose(1, 2)
        k = self.k_proj(x).view(B, T, self.n_kv_head, self.head_dim).transpose(1, 2)
        v = self.v_proj(x).view(B, T, self.n_kv_head, self.head_dim).transpose(1, 2)
        q, k = rotate(q, positions, self.base), rotate(k, positions, self.base)
        k, v = (repeat_kv(t, self.n_head // self.n_kv_head) for t in (k, v))
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(B, T, -1))
