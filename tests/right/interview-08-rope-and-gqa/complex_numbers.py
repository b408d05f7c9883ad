"""Pairs as complex numbers in float32 or float64; queries with an axis for the group, so that nothing is repeated."""

import math

import torch
from torch import nn


def rotate(x, positions, base=10000.0):
    if x.size(-1) & 1:
        raise ValueError(f"{x.size(-1)} channels make no pairs")
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    half = x.size(-1) // 2
    speeds = torch.exp(torch.arange(half, dtype=wide, device=x.device) * (-math.log(base) / half))
    angles = torch.einsum("...t,f->...tf", positions.to(wide), speeds)
    if angles.ndim == 3:
        angles = angles[:, None]
    pairs = torch.complex(*x.to(wide).tensor_split(2, dim=-1)) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat((pairs.real, pairs.imag), dim=-1).type(x.dtype)


def repeat_kv(x, n_rep):
    return torch.stack([x] * n_rep, dim=2).flatten(1, 2)


class GroupedQueryAttention(nn.Module):
    def __init__(self, n_embd, n_head, n_kv_head, base=10000.0):
        for name, value in (("n_embd", n_embd), ("n_head", n_head), ("n_kv_head", n_kv_head)):
            if value <= 0:
                raise ValueError(f"{name} is {value}")
        if n_embd % n_head != 0:
            raise ValueError(f"{n_embd} channels cannot be shared by {n_head} heads")
        if n_head % n_kv_head != 0:
            raise ValueError(f"{n_head} heads cannot form groups around {n_kv_head}")
        if n_embd // n_head % 2 == 1:
            raise ValueError(f"heads of {n_embd // n_head} channels cannot be rotated")
        super().__init__()
        self.groups, self.n_kv_head, self.base = n_head // n_kv_head, n_kv_head, base
        D = n_embd // n_head
        self.q_proj = nn.Linear(n_embd, n_embd, bias=False)
        self.k_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.v_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.o_proj = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x, positions=None):
        B, T, C = x.shape
        if positions is None:
            positions = torch.arange(T, device=x.device)
        heads = [
            part.reshape(B, T, -1, self.q_proj.out_features // (self.groups * self.n_kv_head)).transpose(1, 2)
            for part in (self.q_proj(x), self.k_proj(x), self.v_proj(x))
        ]
        q = rotate(heads[0], positions, base=self.base).unflatten(1, (self.n_kv_head, self.groups))
        k = rotate(heads[1], positions, base=self.base)
        scores = torch.einsum("bkgtd,bksd->bkgts", q * q.size(-1) ** -0.5, k)
        future = torch.ones(T, T, device=x.device, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, float("-inf")).softmax(-1)
        out = torch.einsum("bkgts,bksd->btkgd", weights, heads[2])
        return self.o_proj(out.reshape(B, T, C))
