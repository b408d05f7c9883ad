"""A (T, D, D) matrix of turns for each position, multiplied on; the batch folded into the heads; baddbmm."""

import torch
from torch import nn


def _turns(positions, D, base, device):
    half = D // 2
    speeds = torch.pow(torch.tensor(base, device=device), -torch.arange(half, device=device) * 2.0 / D)
    angles = positions.unsqueeze(-1) * speeds
    cos, sin = torch.diag_embed(angles.cos()), torch.diag_embed(angles.sin())
    return torch.cat([torch.cat([cos, -sin], dim=-1), torch.cat([sin, cos], dim=-1)], dim=-2)


def rotate(x, positions, base=10000.0):
    D = x.shape[-1]
    if D // 2 * 2 < D:
        raise ValueError(f"cannot pair {D} channels")
    turns = _turns(positions, D, base, x.device)
    wide = x.double() if x.dtype == torch.float64 else x.float()
    if positions.ndim == 2:
        turns = turns[:, None]
    return (turns.to(wide.dtype) @ wide.unsqueeze(-1)).squeeze(-1).to(x.dtype)


def repeat_kv(x, n_rep):
    index = torch.arange(x.size(1) * n_rep, device=x.device) // n_rep
    return x.index_select(1, index)


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
        self.shape = n_head, n_kv_head, n_embd // n_head
        self.base = base
        D = n_embd // n_head
        self.q_proj = nn.Linear(n_embd, n_embd, bias=False)
        self.k_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.v_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.o_proj = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x, positions=None):
        (H, K, D), (B, T, C) = self.shape, x.shape
        positions = torch.ones(T, device=x.device, dtype=torch.long).cumsum(0) - 1 if positions is None else positions
        q = torch.stack(self.q_proj(x).split(D, -1), 1)
        k = torch.stack(self.k_proj(x).split(D, -1), 1)
        v = repeat_kv(torch.stack(self.v_proj(x).split(D, -1), 1), H // K).flatten(0, 1)
        q = rotate(q, positions, self.base).flatten(0, 1)
        k = repeat_kv(rotate(k, positions, self.base), H // K).flatten(0, 1)
        mask = torch.full((T, T), -torch.inf, dtype=q.dtype, device=x.device).triu(1)
        scores = torch.baddbmm(mask.expand(B * H, T, T), q, k.transpose(1, 2), alpha=D**-0.5)
        scores = scores - scores.amax(2, keepdim=True)
        weights = scores.exp() / scores.exp().sum(2, keepdim=True)
        out = torch.bmm(weights, v).view(B, H, T, D).permute(0, 2, 1, 3)
        return self.o_proj(out.reshape(B, T, C))
