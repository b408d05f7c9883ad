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
    # lesson: about 3 lines
    rest = (p - q).clamp(min=0)
    total = rest.sum(dim=-1, keepdim=True)
    return torch.where(total > 0, rest / total, p)


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
    # lesson: about 12 lines. Chances, how many are accepted, one more draw, put together
    B, k = drafted.shape
    if p.size(1) != k + 1:
        raise ValueError(f"p has {p.size(1)} places; {k} drafted tokens need {k + 1}")
    p_drafted = p.gather(-1, drafted.unsqueeze(-1)).squeeze(-1)  # (B, k)
    q_drafted = q.gather(-1, drafted.unsqueeze(-1)).squeeze(-1)
    u = torch.rand(B, k, generator=generator, device=p.device)
    accepted = u * q_drafted < p_drafted  # with the chance min(1, p / q)
    n = accepted.cumprod(dim=1).sum(dim=1, keepdim=True)  # (B, 1), before the first False
    # Behind the draft nothing was drafted: q is 0 there, and the residual p itself.
    rest = residual(p, F.pad(q, (0, 0, 0, 1)))
    rest = rest[torch.arange(B), n.squeeze(1)]  # (B, V)
    extra = torch.multinomial(rest, num_samples=1, generator=generator)
    places = torch.arange(k + 1, device=p.device)
    tokens = F.pad(drafted, (0, 1)).masked_fill(places > n, -1).scatter(1, n, extra)
    return tokens, n.squeeze(1) + 1


@torch.no_grad()  # lesson
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
    # lesson: about 16 lines. Refuse; in rounds: draft, ask the target once, verify, append
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if ids.ndim != 2 or len(ids) != 1:
        raise ValueError(f"ids must hold one text (1, T), not {tuple(ids.shape)}")
    end = ids.size(1) + n_tokens
    while ids.size(1) < end:
        T = ids.size(1)
        text, q = ids, []
        for _ in range(min(k, end - T - 1)):  # the target adds a token of its own
            q.append(draft(text)[:, -1:].softmax(dim=-1))
            drawn = torch.multinomial(q[-1][:, 0], num_samples=1, generator=generator)
            text = torch.cat([text, drawn], dim=1)
        p = target(text)[:, T - 1 :].softmax(dim=-1)  # position T - 1 says what stands at T
        tokens, counts = verify(p, torch.cat([p[:, :0], *q], dim=1), text[:, T:], generator)
        ids = torch.cat([ids, tokens[:, : counts.item()]], dim=1)
    return ids
