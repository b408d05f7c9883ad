"""A mixture of experts: a router sends each token through k of E feed-forward networks.

Shapes: B texts, T tokens, N tokens of all texts in one row, C n_embd, E experts, k experts a token.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def route(logits: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Choose the k experts with the largest logits for each token.

    Args:
        logits: (N, E), the router's.
        k: from 1 to E.

    Returns:
        weights (N, k), in the dtype of logits: the softmax over all E experts, divided by its sum
        over the k chosen ones; and chosen (N, k), int64, the largest logit first.

    Raises:
        ValueError: k is below 1 or above E; the message names it.
    """
    # lesson: about 4 lines
    if not 1 <= k <= logits.size(-1):
        raise ValueError(f"k must be from 1 to {logits.size(-1)}, the number of experts, not {k}")
    largest, chosen = logits.topk(k, dim=-1)
    # exp(l) / sum over all, divided by the sum of these over the chosen: the sum over all drops out.
    return largest.softmax(dim=-1), chosen


def load_balance_loss(logits: Tensor, chosen: Tensor) -> Tensor:
    """E times the sum over the experts of f * P: 1 where the load is even, and up to E.

    f is an expert's share of the N * k choices, P its mean probability over the N tokens.

    Args:
        logits: (N, E). chosen: (N, k), int64, any choices at all.

    Source: Fedus et al. (2021), section 2.2, there for k = 1.
    """
    # lesson: about 4 lines
    n_expert = logits.size(-1)
    f = torch.bincount(chosen.flatten(), minlength=n_expert) / chosen.numel()
    P = logits.softmax(dim=-1).mean(dim=0)
    return n_expert * (f * P).sum()


def mix(
    x: Tensor, weights: Tensor, chosen: Tensor, experts: Sequence[Callable[[Tensor], Tensor]]
) -> Tensor:
    """Send each token through its own experts only, and add up what they give, times the weights.

    Args:
        x: (N, C). weights: (N, k). chosen: (N, k), int64, the experts of a token all different.
        experts: each takes (n, C) and gives (n, C). Called once at most, with its own tokens.

    Returns:
        (N, C), in the dtype of x.
    """
    # lesson: about 6 lines. For each expert: its tokens, its result, to its place
    out = torch.zeros_like(x)
    for e, expert in enumerate(experts):
        token, place = (chosen == e).nonzero(as_tuple=True)
        if len(token) > 0:
            out.index_add_(0, token, weights[token, place].unsqueeze(1) * expert(x[token]))
    return out


class Expert(nn.Module):
    """A feed-forward network as in Llama and Mixtral: w2(silu(w1 x) * w3 x)."""

    def __init__(self, n_embd: int, n_inner: int) -> None:
        super().__init__()
        self.w1 = nn.Linear(n_embd, n_inner, bias=False)
        self.w2 = nn.Linear(n_inner, n_embd, bias=False)
        self.w3 = nn.Linear(n_embd, n_inner, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, C) -> (n, C)."""
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class MixtureOfExperts(nn.Module):
    """A layer of n_expert experts, k of which work for each token.

    Raises:
        ValueError: k is below 1 or above n_expert; the message names it.
    """

    def __init__(self, n_embd: int, n_inner: int, n_expert: int, k: int) -> None:
        super().__init__()
        # lesson: about 5 lines. A Linear without bias, `router`, and a ModuleList, `experts`
        if not 1 <= k <= n_expert:
            raise ValueError(f"k must be from 1 to {n_expert}, the number of experts, not {k}")
        self.k = k
        self.router = nn.Linear(n_embd, n_expert, bias=False)
        self.experts = nn.ModuleList(Expert(n_embd, n_inner) for _ in range(n_expert))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) -> the output (B, T, C), and the load-balancing loss of all B * T tokens."""
        # lesson: about 5 lines
        tokens = x.flatten(end_dim=-2)  # (N, C)
        logits = self.router(tokens)
        weights, chosen = route(logits, self.k)
        out = mix(tokens, weights, chosen, self.experts)
        return out.reshape(x.shape), load_balance_loss(logits, chosen)
