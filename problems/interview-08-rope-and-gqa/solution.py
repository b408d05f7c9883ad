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
    # TODO(interview-08): about 8 lines. Frequencies, angles, cos and sin, turn each pair
    raise NotImplementedError("problem interview-08: rotate")


def repeat_kv(x: Tensor, n_rep: int) -> Tensor:
    """Give each of n_rep query heads in a row its copy of one head of keys or values.

    Args:
        x: (B, K, T, D).

    Returns:
        (B, K * n_rep, T, D): head h is head h // n_rep of x.
    """
    # TODO(interview-08): 1 line
    raise NotImplementedError("problem interview-08: repeat_kv")


class GroupedQueryAttention(nn.Module):
    """Causal self-attention in which H / K query heads share a head of keys and values.

    Raises:
        ValueError: n_head does not divide n_embd, n_kv_head does not divide n_head, D is odd, or
            one of the three is below 1; the message names the numbers that do not fit.

    Source: Ainslie et al. (2023), GQA, section 2.2.
    """

    def __init__(self, n_embd: int, n_head: int, n_kv_head: int, base: float = 10000.0) -> None:
        # TODO(interview-08): about 14 lines. Check; keep; q_proj, k_proj, v_proj, o_proj
        raise NotImplementedError("problem interview-08: GroupedQueryAttention.__init__")

    def forward(self, x: Tensor, positions: Tensor | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C).

        Args:
            positions: as in rotate; 0 to T - 1 unless given. Who sees whom is a matter of the
                order in x, whatever the positions are.
        """
        # TODO(interview-08): about 14 lines. Heads, turn, repeat, scores, mask, merge
        raise NotImplementedError("problem interview-08: GroupedQueryAttention.forward")
