"""Cached decoding: a decoder of attention layers that reads each token of a text once.

Shapes: B batch, T new tokens, S tokens so far, the new ones included, C n_embd, H n_head,
D = C // H, V vocab_size.
"""

import math

import torch
from torch import Tensor, nn


class KVCache:
    """The keys and values of all tokens so far, of each layer of a model."""

    def __init__(self, n_layer: int) -> None:
        # TODO(interview-07): about 2 lines
        raise NotImplementedError("problem interview-07: KVCache.__init__")

    def __len__(self) -> int:
        """How many tokens every layer holds."""
        # TODO(interview-07): 1 line
        raise NotImplementedError("problem interview-07: KVCache.__len__")

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of T new tokens to one layer, each (B, H, T, D).

        Returns:
            That layer's keys and values of all tokens so far, each (B, H, S, D), the oldest first.
        """
        # TODO(interview-07): about 5 lines
        raise NotImplementedError("problem interview-07: KVCache.append")

    def crop(self, length: int) -> None:
        """Forget the newest tokens, in every layer, and keep the oldest `length`.

        Raises:
            ValueError: length is negative or above len(self); the message names it.
        """
        # TODO(interview-07): about 6 lines
        raise NotImplementedError("problem interview-07: KVCache.crop")


class Attention(nn.Module):
    """Causal self-attention of n_head heads."""

    def __init__(self, n_embd: int, n_head: int) -> None:
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        """(B, T, C) -> (B, T, C).

        Args:
            x: the new tokens only.
            cache: holds the tokens before them; x is added to it. Without one, x is the whole text.
            layer: this module's place in the cache.
        """
        # TODO(interview-07): about 9 lines. q, k, v -> heads -> the past -> scores -> mask -> merge
        raise NotImplementedError("problem interview-07: Attention.forward")


class Decoder(nn.Module):
    """Token and position embeddings, attention layers with a residual around each, and a head."""

    def __init__(
        self, vocab_size: int, n_positions: int, n_embd: int, n_head: int, n_layer: int
    ) -> None:
        super().__init__()
        self.n_positions = n_positions
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_positions, n_embd)
        self.h = nn.ModuleList(Attention(n_embd, n_head) for _ in range(n_layer))
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)

    def forward(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """(B, T) -> (B, T, V): the logits after each of the new tokens.

        Args:
            ids: the new tokens only.
            cache: of the tokens before them, for all layers. Without one, ids is the whole text.

        Raises:
            ValueError: the text, past included, is longer than n_positions; the message names its
                length, and the cache is as it was.
        """
        # TODO(interview-07): about 9 lines. Check, embed at the right positions, layers, head
        raise NotImplementedError("problem interview-07: Decoder.forward")


def generate(model: Decoder, ids: Tensor, n_tokens: int) -> Tensor:
    """Continue texts greedily, with each token going through the model once.

    Args:
        model: a Decoder.
        ids: (B, T), the texts' beginnings.

    Returns:
        (B, n_tokens), int64: the new tokens only, each the one with the highest logit.

    Raises:
        ValueError: as Decoder.forward; the last new token is not read, so it needs no position.
    """
    # TODO(interview-07): about 6 lines. The whole prompt, then one token at a time
    raise NotImplementedError("problem interview-07: generate")
