"""Speculative decoding: a cheap model drafts tokens, the target keeps what its own distribution allows.

Shapes: B texts, k drafted tokens, T tokens so far, V vocab_size.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def residual(p: Tensor, q: Tensor) -> Tensor:
    """What to draw from when a token that was drafted from q is rejected for p.

    Args:
        p, q: (..., V), probabilities of target and draft; q may also be all zeros.

    Returns:
        (..., V): the positive part of p - q, scaled to sum to 1; p itself where nothing is left.
    """
    # TODO(interview-16): about 3 lines
    raise NotImplementedError("problem interview-16: residual")


def verify(
    p: Tensor, q: Tensor, drafted: Tensor, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Accept drafted tokens up to the first rejection, and add one token of the target's.

    Args:
        p: (B, k + 1, V), the target's probabilities for the k drafted places and the one after them.
        q: (B, k, V), those that the drafted tokens were drawn from.
        drafted: (B, k), int64; k may be 0.
        generator: where the randomness comes from; None is torch's global state.

    Returns:
        tokens (B, k + 1), int64, with -1 behind the last one, and counts (B,), int64, from 1 to k + 1.

    Raises:
        ValueError: p has not exactly one place more than drafted.

    Source: Leviathan et al. (2023), algorithm 1.
    """
    # TODO(interview-16): about 12 lines. Chances, how many are accepted, one more draw, put together
    raise NotImplementedError("problem interview-16: verify")


def generate(
    target: Callable[[Tensor], Tensor],
    draft: Callable[[Tensor], Tensor],
    ids: Tensor,
    n_tokens: int,
    k: int,
    generator: Generator | None = None,
) -> Tensor:
    """Continue a text by n_tokens tokens, distributed as if the target alone had drawn them.

    Args:
        target, draft: ids (1, T) -> logits (1, T, V).
        ids: (1, T), int64, T at least 1; never changed.
        k: how many tokens are drafted in a round, at most.

    Returns:
        (1, T + n_tokens), the text and the new tokens.

    Raises:
        ValueError: k is below 1, or ids holds not exactly one text; the message names k or the shape.
    """
    # TODO(interview-16): about 16 lines. Refuse; in rounds: draft, ask the target once, verify, append
    raise NotImplementedError("problem interview-16: generate")
