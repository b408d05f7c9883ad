"""Generation with a cache that is laid out once: each new token costs one pass over the weights.

B rows, T tokens, H heads, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.train.fused import exchanged, fused

Choose = Callable[[Tensor], Tensor]  # logits (B, V) -> the next ids (B, 1)


def greedy(logits: Tensor) -> Tensor:
    """The most likely token of each row."""
    return logits.argmax(-1, keepdim=True)


class Decoder:
    """A model with the contract's names, and the keys and values of what it has read.

    Args:
        limit: most tokens that the cache holds; at most n_positions.
    """

    def __init__(self, model: Any, limit: int) -> None:
        self.model, self.limit = model, limit
        self.length = 0
        self.past = torch.empty(0)

    def read(self, ids: Tensor) -> Tensor:
        """Take in more tokens, (B, T), and give the logits after the last one, (B, V)."""
        config, weight = self.model.config, self.model.wte.weight
        if self.length == 0:
            shape = (config.n_layer, 2, len(ids), config.n_head, self.limit, config.head_dim)
            self.past = torch.empty(shape, dtype=weight.dtype, device=weight.device)
        elif ids.size(1) > 1:
            raise ValueError("after the first read tokens come one at a time")
        begin, end = self.length, self.length + ids.size(1)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.past[layer]
            keys[:, :, begin:end], values[:, :, begin:end] = k, v
            # A single new token sees all that is held.
            return F.scaled_dot_product_attention(
                q, keys[:, :, :end], values[:, :, :end], is_causal=begin == 0
            )

        positions, head = self.model.wpe.weight, self.model.lm_head.weight
        ends = exchanged(
            (self.model.wpe, lambda at: F.embedding(at + begin, positions)),
            (self.model.lm_head, lambda x: F.linear(x[:, -1:], head)),
        )
        with fused(self.model, attend), ends:
            logits = self.model(ids)
        self.length = end
        return logits[:, -1]


@torch.inference_mode()
def stream(
    model: Any, prompt: Tensor, n_tokens: int, max_context: int, choose: Choose = greedy
) -> Iterator[Tensor]:
    """Continue the prompt, a token at a time, as the model would in eval mode.

    While everything fits max_context nothing is computed twice. After that positions shift with every
    token, and so the window is read anew.

    Args:
        prompt: (B, T), int64.

    Yields:
        (B, 1), the next ids.
    """
    text = prompt[:, -max_context:]
    decoder = Decoder(model, min(max_context, text.size(1) + n_tokens))
    new = text
    for _ in range(n_tokens):
        if decoder.length + new.size(1) > decoder.limit:
            decoder = Decoder(model, decoder.limit)
            new = text[:, -decoder.limit :]
        new = choose(decoder.read(new))
        text = torch.cat([text, new], 1)[:, -max_context:]
        yield new
