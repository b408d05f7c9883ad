"""The attention of today's open models: rotary positions, and few heads of keys and values.

Shapes: B batch, T tokens, C n_embd, H n_head, K n_kv_head, D = C // H.
"""

import math

import torch
from torch import Tensor, nn


def rotate(x: Tensor, positions: Tensor, base: float = 10000.0) -> Tensor:
    """Turn the channels i and i + D / 2 of each token by the angle position * base ** (-2 * i / D).

    Args:
        x: (B, H, T, D), queries or keys.
        positions: int64, (T,) for all texts alike or (B, T).

    Returns:
        The shape and dtype of x. Angles are computed in float32, whatever x is.

    Raises:
        ValueError: D is odd; the message names it.

    Source: Su et al. (2021), RoFormer, section 3.2; which channels make a pair: GPT-NeoX.
    """
    # lesson: about 8 lines. Frequencies, angles, cos and sin, turn each pair
    D = x.size(-1)
    if D % 2:
        raise ValueError(f"D ({D}) must be even: channels are turned in pairs")
    frequencies = base ** (-torch.arange(0, D, 2, device=x.device) / D)  # (D / 2,)
    angles = (positions[..., None] * frequencies).unsqueeze(-3)  # (1, T, D / 2) or (B, 1, T, D / 2)
    cos, sin = angles.cos(), angles.sin()
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1).to(x.dtype)


def repeat_kv(x: Tensor, n_rep: int) -> Tensor:
    """Give each of n_rep query heads in a row its copy of one head of keys or values.

    Args:
        x: (B, K, T, D).

    Returns:
        (B, K * n_rep, T, D): head h is head h // n_rep of x.
    """
    # lesson: 1 line
    return x.repeat_interleave(n_rep, dim=1)


class GroupedQueryAttention(nn.Module):
    """Causal self-attention in which H / K query heads share a head of keys and values.

    Raises:
        ValueError: n_head does not divide n_embd, n_kv_head does not divide n_head, D is odd, or
            one of the three is below 1; the message names the numbers that do not fit.

    Source: Ainslie et al. (2023), GQA, section 2.2.
    """

    def __init__(self, n_embd: int, n_head: int, n_kv_head: int, base: float = 10000.0) -> None:
        # lesson: about 14 lines. Check; keep; q_proj, k_proj, v_proj, o_proj
        super().__init__()
        if min(n_embd, n_head, n_kv_head) < 1:
            raise ValueError(f"{n_embd=}, {n_head=} and {n_kv_head=} must be at least 1")
        if n_embd % n_head or n_head % n_kv_head:
            raise ValueError(f"{n_head=} must divide {n_embd=}, {n_kv_head=} must divide {n_head=}")
        D = n_embd // n_head
        if D % 2:
            raise ValueError(f"{n_embd=} / {n_head=} is {D}, but channels are turned in pairs")
        self.n_head, self.n_kv_head, self.base = n_head, n_kv_head, base
        self.q_proj = nn.Linear(n_embd, n_head * D, bias=False)
        self.k_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.v_proj = nn.Linear(n_embd, n_kv_head * D, bias=False)
        self.o_proj = nn.Linear(n_head * D, n_embd, bias=False)

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C).

        Args:
            positions: as in rotate; 0 to T - 1 unless given. Who sees whom is a matter of the
                order in x, whatever the positions are.
        """
        # lesson: about 14 lines. Heads, turn, repeat, scores, mask, merge
        T = x.size(1)
        if positions is None:
            positions = torch.arange(T, device=x.device)
        q = self.q_proj(x).unflatten(-1, (self.n_head, -1)).transpose(1, 2)  # (B, H, T, D)
        k = self.k_proj(x).unflatten(-1, (self.n_kv_head, -1)).transpose(1, 2)  # (B, K, T, D)
        v = self.v_proj(x).unflatten(-1, (self.n_kv_head, -1)).transpose(1, 2)
        q, k = rotate(q, positions, self.base), rotate(k, positions, self.base)
        n_rep = self.n_head // self.n_kv_head
        k, v = repeat_kv(k, n_rep), repeat_kv(v, n_rep)  # (B, H, T, D)
        visible = torch.ones(T, T, dtype=torch.bool, device=x.device).tril()
        scores = q @ k.mT / math.sqrt(q.size(-1))  # (B, H, T, T)
        weights = scores.masked_fill(~visible, -torch.inf).softmax(dim=-1)
        return self.o_proj((weights @ v).transpose(1, 2).flatten(2))
