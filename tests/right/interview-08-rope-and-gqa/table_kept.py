"""Angles kept in a table that grows with the positions, not in the state_dict; enable_gqa does the sharing."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _angles(positions: Tensor, size: int, base: float) -> Tensor:
    exponents = torch.linspace(0, 1, size // 2 + 1, device=positions.device)[:-1]
    return positions.float().unsqueeze(-1) / torch.as_tensor(base, device=positions.device).pow(exponents)


def _turn(x: Tensor, angles: Tensor) -> Tensor:
    first, second = x[..., : x.size(-1) // 2], x[..., x.size(-1) // 2 :]
    cos, sin = angles.cos(), angles.sin()
    pairs = torch.stack([first * cos - second * sin, second * cos + first * sin], dim=-2)
    return pairs.flatten(-2).to(x)


def rotate(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    if x.size(-1) % 2:
        raise ValueError(f"D = {x.size(-1)} is odd")
    angles = _angles(positions, x.size(-1), base)
    return _turn(x, angles if positions.ndim == 1 else angles.unsqueeze(1))


def repeat_kv(x: Tensor, n_rep: int) -> Tensor:
    return torch.cat([x[:, k : k + 1].expand(-1, n_rep, -1, -1) for k in range(x.size(1))], dim=1)


class GroupedQueryAttention(nn.Module):
    def __init__(self, n_embd: int, n_head: int, n_kv_head: int, base: float = 10000.0) -> None:
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
        self.head_size, self.base = n_embd // n_head, base
        D = n_embd // n_head
        self.q_proj = nn.Linear(n_embd, n_embd, bias=False)
        self.k_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.v_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.o_proj = nn.Linear(n_embd, n_embd, bias=False)
        self.register_buffer("table", torch.empty(0, self.head_size // 2), persistent=False)

    def _rows(self, positions: Tensor, device: torch.device) -> Tensor:
        longest = int(positions.max()) + 1
        if longest > self.table.size(0) or self.table.dtype != torch.float32:
            self.table = _angles(torch.arange(longest, device=device), self.head_size, self.base)
        rows = self.table[positions]
        return rows if positions.ndim == 1 else rows.unsqueeze(1)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        if positions is None:
            positions = torch.arange(x.size(1), device=x.device)
        q, k, v = (
            p(x).unflatten(2, (-1, self.head_size)).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj)
        )
        rows = self._rows(positions, x.device)
        out = F.scaled_dot_product_attention(_turn(q, rows), _turn(k, rows), v, is_causal=True, enable_gqa=True)
        return self.o_proj(out.transpose(1, 2).flatten(2))
