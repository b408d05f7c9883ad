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
        # lesson: about 2 lines
        self.keys: list[Tensor | None] = [None] * n_layer
        self.values: list[Tensor | None] = [None] * n_layer

    def __len__(self) -> int:
        """How many tokens every layer holds."""
        # lesson: 1 line
        return min(0 if key is None else key.size(2) for key in self.keys)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Add the keys and values of T new tokens to one layer, each (B, H, T, D).

        Returns:
            That layer's keys and values of all tokens so far, each (B, H, S, D), the oldest first.
        """
        # lesson: about 5 lines
        if self.keys[layer] is not None:
            key = torch.cat([self.keys[layer], key], dim=2)
            value = torch.cat([self.values[layer], value], dim=2)
        self.keys[layer], self.values[layer] = key, value
        return key, value

    def crop(self, length: int) -> None:
        """Forget the newest tokens, in every layer, and keep the oldest `length`.

        Raises:
            ValueError: length is negative or above len(self); the message names it.
        """
        # lesson: about 6 lines
        if not 0 <= length <= len(self):
            raise ValueError(f"cannot crop to {length} tokens: the cache holds {len(self)}")
        for held in (self.keys, self.values):
            for layer, x in enumerate(held):
                # A copy, since a slice would hold on to the memory of what is forgotten.
                held[layer] = None if x is None else x[:, :, :length].clone()


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
        # lesson: about 9 lines. q, k, v -> heads -> the past -> scores -> mask -> merge
        parts = self.c_attn(x).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for part in parts)
        if cache is not None:  # an empty cache is false, too
            k, v = cache.append(layer, k, v)
        T, S = q.size(2), k.size(2)
        # Query t stands at position S - T + t and sees the keys up to there.
        visible = torch.ones(T, S, dtype=torch.bool, device=x.device).tril(S - T)
        scores = q @ k.mT / math.sqrt(q.size(-1))  # (B, H, T, S)
        heads = scores.masked_fill(~visible, -torch.inf).softmax(dim=-1) @ v
        return self.c_proj(heads.transpose(1, 2).flatten(2))


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
        # lesson: about 9 lines. Check, embed at the right positions, layers, head
        past = 0 if cache is None else len(cache)
        end = past + ids.size(1)
        if end > self.n_positions:
            raise ValueError(f"{end} tokens do not fit n_positions ({self.n_positions})")
        x = self.wte(ids) + self.wpe(torch.arange(past, end, device=ids.device))  # (B, T, C)
        for layer, attention in enumerate(self.h):
            x = x + attention(x, cache, layer)
        return self.lm_head(x)


@torch.no_grad()  # lesson
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
    # lesson: about 6 lines. The whole prompt, then one token at a time
    cache, new = KVCache(len(model.h)), [ids[:, :0]]
    for _ in range(n_tokens):
        ids = model(ids, cache)[:, -1:].argmax(dim=-1)  # (B, 1)
        new.append(ids)
    return torch.cat(new, dim=1)
