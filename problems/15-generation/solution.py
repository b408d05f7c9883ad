"""Generation: from logits to the next token, and from a prompt to a text.

Shapes: B batch, T tokens, V vocab_size.
"""

import torch
from torch import Generator, Tensor, nn


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
    # TODO(15): about 8 lines. Eval mode; crop, predict, append; the mode as it was
    raise NotImplementedError("problem 15: generate_text_simple")


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
    # TODO(15): about 16 lines. Refuse; divide; top_k; top_p
    raise NotImplementedError("problem 15: filter_logits")


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
    # TODO(15): about 18 lines. The loop from above, with a draw, and rows that end
    raise NotImplementedError("problem 15: generate")
