"""Generation: from logits to the next token, and from a prompt to a text.

Shapes: B batch, T tokens, V vocab_size.
"""

from collections.abc import Iterator  # lesson
from contextlib import contextmanager  # lesson

import torch
from torch import Generator, Tensor, nn


@contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; afterwards the mode that was found, also when an error ends the block."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)


@torch.no_grad()  # lesson
def generate_text_simple(
    model: nn.Module, batch: Tensor, n_tokens: int, max_context: int
) -> Tensor:
    """Continue each prompt with the most likely token, n_tokens times.

    Args:
        model: ids (B, up to max_context) -> logits (B, T, V). Works in eval mode; its mode is left
            as it was found.
        batch: (B, T), int64, the prompts; never changed.
        max_context: the model sees at most this many tokens, the last ones.

    Returns:
        (B, n_tokens), int64: the new tokens only.
    """
    # lesson: about 8 lines. Eval mode; crop, predict, append; the mode as it was
    text = batch
    with _eval_mode(model):
        for _ in range(n_tokens):
            logits = model(text[:, -max_context:])[:, -1]  # (B, V)
            text = torch.cat([text, logits.argmax(dim=-1, keepdim=True)], dim=1)
    return text[:, batch.size(1) :]


def filter_logits(
    logits: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Tensor:
    """Reshape a distribution before drawing from it: temperature first, then top_k, then top_p.

    Args:
        logits: (B, V), may hold -inf; never changed.
        temperature: divides the logits.
        top_k: keeps the k largest logits of a row, and what ties with the k-th.
        top_p: keeps the smallest set of most likely tokens whose probability reaches p.

    Returns:
        (B, V): the logits divided by the temperature, those that were removed at -inf.

    Raises:
        ValueError: temperature not above 0, top_k below 1, top_p not above 0 or above 1.

    Source: Holtzman et al., "The Curious Case of Neural Text Degeneration", section 3.1 (top_p);
        Fan et al., "Hierarchical Neural Story Generation", section 5.4 (top_k).
    """
    # lesson: about 16 lines. Refuse; divide; top_k; top_p
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, not {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must be above 0 and at most 1, not {top_p}")
    logits = logits / temperature
    if top_k is not None:
        kth = logits.topk(min(top_k, logits.size(-1))).values[:, -1:]  # (B, 1)
        logits = logits.masked_fill(logits < kth, -torch.inf)
    if top_p is not None and top_p < 1:  # at 1 rounding must not cost the rarest tokens
        probs, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)
        better = probs.cumsum(dim=-1) - probs  # what the more likely tokens hold together
        removed = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, better >= top_p)
        logits = logits.masked_fill(removed, -torch.inf)
    return logits


@torch.no_grad()  # lesson
def generate(
    model: nn.Module,
    batch: Tensor,
    n_tokens: int,
    max_context: int,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos_id: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """Continue each prompt with tokens drawn from the model's filtered distribution.

    Args:
        model, batch, max_context: as in generate_text_simple.
        temperature, top_k, top_p: as in filter_logits, except that temperature 0 is greedy.
        eos_id: a row that has drawn it is filled with it; once all rows have, generation ends.
        generator: where the randomness comes from; None is torch's global state.

    Returns:
        (B, n_tokens), int64: the new tokens only; fewer columns if all rows ended before.

    Raises:
        ValueError: as filter_logits.
    """
    # lesson: about 18 lines. The loop from above, with a draw, and rows that end
    text = batch
    ended = torch.zeros_like(batch[:, :1], dtype=torch.bool)  # (B, 1)
    with _eval_mode(model):
        for _ in range(n_tokens):
            logits = model(text[:, -max_context:])[:, -1]  # (B, V)
            if temperature == 0:
                token = logits.argmax(dim=-1, keepdim=True)  # (B, 1)
            else:
                probs = filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)
                token = torch.multinomial(probs, num_samples=1, generator=generator)
            if eos_id is not None:
                token = token.masked_fill(ended, eos_id)
                ended = token == eos_id
            text = torch.cat([text, token], dim=1)
            if ended.all():
                break
    return text[:, batch.size(1) :]
