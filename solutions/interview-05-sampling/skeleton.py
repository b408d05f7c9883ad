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
    # TODO(interview-05): about 20 lines. Refuse bad values; greedy; temperature; top_k; softmax; top_p
    raise NotImplementedError("problem interview-05: sampling_probabilities")


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
    # TODO(interview-05): about 2 lines
    raise NotImplementedError("problem interview-05: sample")


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
    # TODO(interview-05): about 8 lines, and the gradients to switch off
    raise NotImplementedError("problem interview-05: generate")
