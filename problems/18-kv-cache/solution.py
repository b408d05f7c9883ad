"""The key-value cache: generation that reads each token once.

Shapes: B batch, T new tokens, S tokens so far, the new ones included, C n_embd, H n_head,
D = C // H, V vocab_size.
"""

import math

import torch
from torch import Generator, Tensor, nn

from common import problem

split_heads = problem(4).split_heads
merge_heads = problem(4).merge_heads
CausalSelfAttention = problem(5).CausalSelfAttention
causal_mask = problem(5).causal_mask
filter_logits = problem(15).filter_logits


class KVCache:
    """The past of one attention layer: the keys and values of all tokens so far."""

    def __init__(self) -> None:
        # TODO(18): about 2 lines
        raise NotImplementedError("problem 18: KVCache.__init__")

    def __len__(self) -> int:
        """How many tokens are held."""
        # TODO(18): 1 line
        raise NotImplementedError("problem 18: KVCache.__len__")

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of T new tokens, each (B, H, T, D).

        Returns:
            Keys and values of all tokens so far, each (B, H, S, D), the oldest first.
        """
        # TODO(18): about 5 lines
        raise NotImplementedError("problem 18: KVCache.append")


class CachedCausalSelfAttention(CausalSelfAttention):
    """Problem 05's attention, which can go on from a past that it has seen before."""

    def forward(self, x: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T, C) -> (B, T, C).

        Args:
            x: the new tokens only.
            cache: of the tokens before them; x is added to it. Without one, x is the whole text.
        """
        # TODO(18): about 9 lines. Problem 05, with keys and values of the past, and a mask that fits
        raise NotImplementedError("problem 18: CachedCausalSelfAttention.forward")


def generate_cached(
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
    """Problem 15's generate, token for token, without reading the past again.

    While the text fits max_context each of its tokens goes through the model once. After that the
    window slides, positions shift, and each step reads the whole window.

    Args:
        model: a GPT-2 with problem 10's names; never changed. The others: as in generate.

    Returns:
        (B, n_tokens), int64: what generate returns.
    """
    # TODO(18): about 25 lines. Read what is new, draw as generate does; start over when the window slides
    raise NotImplementedError("problem 18: generate_cached")
