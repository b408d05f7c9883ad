"""Positions decide who sees whom: keys carry theirs by their place in the cache; the prompt is read apart."""

import math

import torch
from torch import Tensor, nn


class KVCache:
    def __init__(self, n_layer: int) -> None:
        self.layers: list[tuple[Tensor, Tensor] | None] = [None for _ in range(n_layer)]

    def __len__(self) -> int:
        if any(pair is None for pair in self.layers):
            return 0
        return min(pair[0].size(2) for pair in self.layers)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        match self.layers[layer]:
            case None:
                pair = key, value
            case old_key, old_value:
                pair = torch.cat((old_key, key), dim=2), torch.cat((old_value, value), dim=2)
        self.layers[layer] = pair
        return pair

    def crop(self, length: int) -> None:
        if min(length, len(self) - length) < 0:
            raise ValueError(f"{length=} is outside of 0 to {len(self)}")
        index = slice(None), slice(None), slice(length)
        self.layers = [pair and (pair[0][index], pair[1][index]) for pair in self.layers]


class Attention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x: Tensor, cache: KVCache | None = None, layer: int = 0) -> Tensor:
        D = x.size(-1) // self.n_head
        q, k, v = torch.tensor_split(self.c_attn(x), 3, dim=-1)
        q, k, v = (torch.stack(t.split(D, dim=-1), dim=1) for t in (q, k, v))
        keys, values = (k, v) if cache is None else cache.append(layer, k, v)
        S = keys.size(2)
        at = torch.arange(S, device=x.device)
        own = at[S - x.size(1) :]
        scores = torch.einsum("bhtd,bhsd->bhts", q, keys) / math.sqrt(D)
        scores = torch.where(own[:, None] >= at, scores, -torch.inf)
        heads = torch.einsum("bhts,bhsd->bthd", scores.softmax(-1), values)
        return self.c_proj(heads.flatten(-2))


class Decoder(nn.Module):
    def __init__(self, vocab_size, n_positions, n_embd, n_head, n_layer):
        super().__init__()
        self.n_positions = n_positions
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_positions, n_embd)
        self.h = nn.ModuleList(Attention(n_embd, n_head) for _ in range(n_layer))
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)

    def forward(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        seen = len(cache) if cache is not None else 0
        length = seen + ids.size(1)
        if length > self.n_positions:
            raise ValueError(f"{length} tokens, {self.n_positions} positions")
        x = self.wte(ids) + self.wpe(torch.arange(self.n_positions, device=ids.device)[seen:length])
        for layer, attention in enumerate(self.h):
            x = x + attention(x, cache, layer)
        return self.lm_head(x)


def generate(model: Decoder, ids: Tensor, n_tokens: int) -> Tensor:
    if n_tokens == 0:
        return ids[:, :0]
    with torch.no_grad():
        cache = KVCache(len(model.h))
        tokens = [model(ids, cache)[:, -1].argmax(-1)]
        for _ in range(n_tokens - 1):
            tokens.append(model(tokens[-1][:, None], cache)[:, 0].argmax(-1))
    return torch.stack(tokens, dim=1)
