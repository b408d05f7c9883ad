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
    # TODO(interview-17): about 4 lines
    raise NotImplementedError("problem interview-17: route")


def load_balance_loss(logits: Tensor, chosen: Tensor) -> Tensor:
    """E times the sum over the experts of f * P: 1 where the load is even, and up to E.

    f is an expert's share of the N * k choices, P its mean probability over the N tokens.

    Args:
        logits: (N, E). chosen: (N, k), int64, any choices at all.

    Source: Fedus et al. (2021), section 2.2, there for k = 1.
    """
    # TODO(interview-17): about 4 lines
    raise NotImplementedError("problem interview-17: load_balance_loss")


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
    # TODO(interview-17): about 6 lines. For each expert: its tokens, its result, to its place
    raise NotImplementedError("problem interview-17: mix")


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
        # TODO(interview-17): about 5 lines. A Linear without bias, `router`, and a ModuleList, `experts`
        raise NotImplementedError("problem interview-17: MixtureOfExperts.__init__")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, C) -> the output (B, T, C), and the load-balancing loss of all B * T tokens."""
        # TODO(interview-17): about 5 lines
        raise NotImplementedError("problem interview-17: MixtureOfExperts.forward")
