"""Beam search: the continuation of a prompt that a language model likes best, as far as a beam sees.

Shapes: B hypotheses, T tokens, V vocab_size.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def beam_search(
    model: Callable[[Tensor], Tensor],
    ids: Tensor,
    n_tokens: int,
    beam_size: int,
    eos: int | None = None,
    alpha: float = 0.0,
) -> tuple[Tensor, float]:
    """The best continuation that a beam finds, and never a worse one than greedy's.

    Args:
        model: ids (B, T), int64 -> logits (B, T, V).
        ids: (T,), int64, the prompt; never changed.
        n_tokens: a continuation has at most so many tokens.
        eos: the token that ends a continuation, and is its last one.
        alpha: of the length penalty; the score is sum of log-probabilities / tokens ** alpha.

    Returns:
        Prompt and continuation, (T + at most n_tokens,), int64, and the continuation's score.

    Raises:
        ValueError: beam_size below 1, n_tokens or alpha below 0.
    """
    # TODO(interview-13): about 20 lines. Extend, keep the best, set the finished aside, score; greedy, too
    raise NotImplementedError("problem interview-13: beam_search")
