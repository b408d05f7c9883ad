"""Generation with a cache that is laid out once: each new token costs one pass over the weights.

B rows, T tokens, C width, H heads, D = C // H.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.fast.walk import last_norm, through_blocks

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
        config, weight = model.config, model.wte.weight
        self.shape = (config.n_layer, 2, config.n_head, limit, config.n_embd // config.n_head)
        self.options = {"dtype": weight.dtype, "device": weight.device}
        self.past = torch.empty(0)

    def read(self, ids: Tensor) -> Tensor:
        """Take in more tokens, (B, T), and give the logits after the last one, (B, V)."""
        B, T = ids.shape
        begin, end = self.length, self.length + T
        if begin == 0:
            layers, two, *rest = self.shape
            self.past = torch.empty(layers, two, B, *rest, **self.options)
        model = self.model
        x = F.embedding(ids, model.wte.weight) + model.wpe.weight[begin:end]

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.past[layer]
            keys[:, :, begin:end], values[:, :, begin:end] = k, v
            # A single new token sees all that is held; several at once only when nothing is held yet.
            return F.scaled_dot_product_attention(
                q, keys[:, :, :end], values[:, :, :end], is_causal=T > 1
            )

        x = through_blocks(model, x, attend)
        self.length = end
        return F.linear(last_norm(model, x[:, -1]), model.lm_head.weight)


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
        token = choose(decoder.read(new))
        text = torch.cat([text, token], 1)[:, -max_context:]
        new = token
        yield token
