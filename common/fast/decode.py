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

FEW = 8  # rows
Choose = Callable[[Tensor], Tensor]  # logits (B, V) -> the next ids (B, 1)


def greedy(logits: Tensor) -> Tensor:
    """The most likely token of each row."""
    return logits.argmax(-1, keepdim=True)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """F.linear; for a few rows on the CPU by another product, which reads the weight at the memory's full speed.

    For a single row the matrix library computes with one thread, and for two to four it takes longer still.
    The weight from the left, in slices that the threads share, is more than twice as fast
    (benchmarks/model.py).
    """
    rows = x.reshape(-1, x.size(-1))
    if len(rows) > FEW or x.device.type != "cpu" or not weight.is_contiguous():
        return F.linear(x, weight, bias)
    slices = max(4, 2 * torch.get_num_threads())
    even = len(weight) // slices * slices
    shared = weight[:even].view(slices, -1, weight.size(1))
    y = torch.bmm(shared, rows.t().expand(slices, -1, -1)).flatten(0, 1)
    if even < len(weight):
        y = torch.cat([y, weight[even:] @ rows.t()])
    y = y.t() if bias is None else y.t() + bias
    return y.reshape(*x.shape[:-1], -1)


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

    def read(self, ids: Tensor, last: int = 1) -> Tensor:
        """Take in more tokens, (B, T), and give the logits after each of the last ones, (B, last, V)."""
        B, T = ids.shape
        begin, end = self.length, self.length + T
        if begin == 0:
            layers, two, *rest = self.shape
            self.past = torch.empty(layers, two, B, *rest, **self.options)
        model = self.model
        x = F.embedding(ids, model.wte.weight) + model.wpe.weight[begin:end]
        # A single new token sees all that is held; of several each sees what is held and those before it.
        mask = None
        if begin and T > 1:
            mask = torch.ones(T, end, dtype=torch.bool, device=ids.device).tril(begin)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.past[layer]
            keys[:, :, begin:end], values[:, :, begin:end] = k, v
            return F.scaled_dot_product_attention(
                q, keys[:, :, :end], values[:, :, :end], mask, is_causal=not begin
            )

        x = through_blocks(model, x, attend, linear=linear)
        self.length = end
        return linear(last_norm(model, x[:, -last:]), model.lm_head.weight)

    def forget(self, tokens: int) -> None:
        """Take back the last tokens read."""
        self.length -= tokens


@torch.inference_mode()
def stream(
    model: Any,
    prompt: Tensor,
    n_tokens: int,
    max_context: int,
    choose: Choose = greedy,
    lookup: int = 0,
) -> Iterator[Tensor]:
    """Continue the prompt, a token at a time, as the model would in eval mode.

    While everything fits max_context nothing is computed twice. After that positions shift with every
    token, and so the window is read anew.

    Args:
        prompt: (B, T), int64.
        lookup: guess up to so many tokens ahead from an earlier place in the text, and read them in the same
            pass; guesses that are not what would be chosen are taken back. The text stays the same (up to
            rounding), and takes fewer passes where it repeats itself. Only for B = 1. Source: prompt lookup
            decoding (Saxena, 2023), a speculative decoding (Leviathan et al., 2023) without a draft model.

    Yields:
        (B, 1), the next ids.
    """
    if lookup and len(prompt) > 1:
        raise ValueError(f"lookup works on one row at a time, not on {len(prompt)}")
    text = prompt[:, -max_context:]
    decoder = Decoder(model, min(max_context, text.size(1) + n_tokens))
    new, left = text, n_tokens
    while left:
        if decoder.length + new.size(1) > decoder.limit:
            decoder = Decoder(model, decoder.limit)
            new = text[:, -decoder.limit :]
        room = min(lookup, left - 1, decoder.limit - decoder.length - new.size(1))
        ahead = _seen_before(text, room) if room > 0 else text[:, :0]
        logits = decoder.read(torch.cat([new, ahead], 1), 1 + ahead.size(1))
        for place in range(logits.size(1)):
            new = choose(logits[:, place])
            text = torch.cat([text, new], 1)[:, -max_context:]
            left -= 1
            yield new
            wrong = ahead.size(1) - place
            if wrong and not torch.equal(new, ahead[:, place : place + 1]):
                decoder.forget(wrong)
                break


def _seen_before(text: Tensor, most: int) -> Tensor:
    """What followed the text's last tokens the last time they occurred, (1, at most `most`)."""
    for length in (3, 2):
        if text.size(1) > length:
            places = (text[0, :-1].unfold(0, length, 1) == text[0, -length:]).all(-1).nonzero()
            if len(places):
                far = places[
                    places + length + most <= text.size(1)
                ]  # followed by as much as is asked for
                begin = int(far[-1] if len(far) else places[0]) + length
                return text[:, begin : begin + most]
    return text[:, :0]
