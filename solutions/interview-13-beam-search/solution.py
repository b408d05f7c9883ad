"""Beam search: the continuation of a prompt that a language model likes best, as far as a beam sees.

Shapes: B hypotheses, T tokens, V vocab_size.
"""

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()  # lesson
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
    # lesson: about 20 lines. Extend, keep the best, set the finished aside, score; greedy, too
    if beam_size < 1:
        raise ValueError(f"beam_size must be at least 1, not {beam_size}")
    if n_tokens < 0 or alpha < 0:
        raise ValueError(f"n_tokens and alpha must not be negative: {n_tokens=}, {alpha=}")
    if n_tokens == 0:
        return ids.clone(), 0.0

    live, sums = ids[None], torch.zeros(1, device=ids.device)  # (B, T), (B,)
    found = []  # (score, ids) of what has ended, in that order
    for n in range(1, n_tokens + 1):
        steps = model(live)[:, -1].float().log_softmax(dim=-1)  # (B, V)
        # A stable sort keeps equal sums in their order; topk gives them in any.
        ranked, order = (sums[:, None] + steps).flatten().sort(descending=True, stable=True)
        sums, order = ranked[:beam_size], order[:beam_size]
        rows, tokens = order // steps.size(-1), order % steps.size(-1)
        live = torch.cat([live[rows], tokens[:, None]], dim=1)
        ended = (tokens == (-1 if eos is None else eos)) | (n == n_tokens)
        found += zip((sums[ended] / n**alpha).tolist(), live[ended], strict=True)
        live, sums = live[~ended], sums[~ended]
        if len(live) == 0:
            break
    if beam_size > 1:  # greedy's way may have fallen out of the beam
        greedy, score = beam_search(model, ids, n_tokens, 1, eos, alpha)
        found.append((score, greedy))
    score, best = max(found, key=lambda pair: pair[0])  # the first of equals
    return best, score
