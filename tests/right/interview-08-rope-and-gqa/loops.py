"""A loop over pairs, a loop over heads; the plainest way to say it."""

import math

import torch
from torch import nn


def rotate(x, positions, base=10000.0):
    D = x.shape[3]
    if D % 2:
        raise ValueError(f"odd head size {D}")
    out = torch.empty_like(x)
    columns = [None] * D
    for i in range(D // 2):
        angle = positions.double() * base ** (-2 * i / D)
        angle = angle.view(-1, 1, x.shape[2])
        cos, sin = torch.cos(angle), torch.sin(angle)
        a, b = x[..., i], x[..., i + D // 2]
        columns[i] = (a * cos - b * sin).to(out.dtype)
        columns[i + D // 2] = (a * sin + b * cos).to(out.dtype)
    return torch.stack(columns, dim=-1)


def repeat_kv(x, n_rep):
    heads = []
    for k in range(x.shape[1]):
        for _ in range(n_rep):
            heads.append(x[:, k])
    return torch.stack(heads, dim=1)


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
        self.n_head = n_head
        self.n_kv_head = n_kv_head
        self.base = base
        D = n_embd // n_head
        self.q_proj = nn.Linear(n_embd, n_embd, bias=False)
        self.k_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.v_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.o_proj = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x, positions=None):
        T = x.shape[1]
        D = x.shape[2] // self.n_head
        if positions is None:
            positions = torch.tensor(range(T), device=x.device)
        q, k, v = self.q_proj(x), self.k_proj(x), self.v_proj(x)
        out = []
        for h in range(self.n_head):
            g = h // (self.n_head // self.n_kv_head)
            query = rotate(q[:, None, :, h * D : (h + 1) * D], positions, self.base)[:, 0]
            key = rotate(k[:, None, :, g * D : (g + 1) * D], positions, self.base)[:, 0]
            value = v[:, :, g * D : (g + 1) * D]
            scores = query @ key.transpose(1, 2) / math.sqrt(D)
            row, column = torch.arange(T, device=x.device)[:, None], torch.arange(T, device=x.device)
            scores = torch.where(column <= row, scores, torch.full_like(scores, -math.inf))
            out.append(scores.softmax(-1) @ value)
        return self.o_proj(torch.cat(out, dim=-1))
