"""Sampling: from logits to the next token, and from a prompt to a text.

Shapes: B batch, T tokens, V vocab_size.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn


def sampling_probabilities(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """The distribution of the next token: temperature first, then top_k, then top_p.

    Args:
        logits: (B, V), may hold -inf; never changed.
        temperature: divides the logits; 0 puts everything on the first of the largest logits.
        top_k: keeps the k largest logits of a row, and what ties with the k-th.
        top_p: keeps the smallest set of most likely tokens whose probability reaches p.

    Returns:
        (B, V), float. Rows sum to 1; a removed token has exactly 0.

    Raises:
        ValueError: temperature below 0, top_k below 1, top_p not above 0 or above 1.
    """
    # lesson: about 20 lines. Refuse bad values; greedy; temperature; top_k; softmax; top_p
    if temperature < 0:
        raise ValueError(f"temperature must be at least 0, not {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}")
    if temperature == 0:
        return F.one_hot(logits.argmax(dim=-1), logits.size(-1)).to(logits.dtype)
    scores = logits / temperature
    if top_k is not None:
        kth = scores.topk(min(top_k, scores.size(-1))).values[:, -1:]  # (B, 1)
        scores = scores.masked_fill(scores < kth, -torch.inf)
    probs = scores.softmax(dim=-1)
    if top_p is not None and top_p < 1:  # at 1 rounding must not cost the rarest tokens
        ranked, order = probs.sort(dim=-1, descending=True)
        better = ranked.cumsum(dim=-1) - ranked  # what the more likely tokens hold together
        ranked = ranked.masked_fill(better >= top_p, 0.0)
        probs = torch.zeros_like(probs).scatter(-1, order, ranked)
        probs = probs / probs.sum(dim=-1, keepdim=True)
    return probs


def sample(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Draw one token for each row, independently: (B, V) logits -> (B,) ids, int64.

    Args:
        generator: where the randomness comes from; None is torch's global state.
    """
    # lesson: about 2 lines
    probs = sampling_probabilities(logits, temperature, top_k, top_p)
    return torch.multinomial(probs, num_samples=1, generator=generator).squeeze(-1)


@torch.no_grad()  # lesson
def generate(
    model: nn.Module,
    ids: Tensor,
    n_tokens: int,
    max_context: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Continue each prompt by n_tokens tokens, one at a time, in eval mode and without gradients.

    Args:
        model: ids (B, up to max_context) -> logits (B, T, V). Its mode is left as it was.
        ids: (B, T), int64, the prompts; never changed.
        max_context: the model sees at most this many tokens, the last ones.

    Returns:
        (B, T + n_tokens): prompt and new tokens.
    """
    # lesson: about 8 lines, and the gradients to switch off
    was_training = model.training
    model.eval()
    for _ in range(n_tokens):
        logits = model(ids[:, -max_context:])[:, -1]  # (B, V)
        drawn = sample(logits, temperature, top_k, top_p, generator)
        ids = torch.cat([ids, drawn.unsqueeze(-1)], dim=1)
    model.train(was_training)
    return ids
