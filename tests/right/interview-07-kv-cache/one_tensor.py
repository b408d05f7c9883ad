"""Keys and values of a layer in one tensor (2, B, H, S, D); an additive mask of 0 and -inf; recursion in generate."""

import math

import torch
from torch import nn


class KVCache:
    def __init__(self, n_layer):
        self._pairs = {layer: None for layer in range(n_layer)}

    def __len__(self):
        lengths = [0 if pair is None else pair.shape[-2] for pair in self._pairs.values()]
        return sorted(lengths)[0]

    def append(self, layer, key, value):
        new, old = torch.stack([key, value]), self._pairs[layer]
        self._pairs[layer] = new if old is None else torch.cat([old, new], dim=-2)
        return self._pairs[layer].unbind(0)

    def crop(self, length):
        if not (isinstance(length, int) and 0 <= length <= len(self)):
            raise ValueError("length is out of range: " + str(length))
        self._pairs = {
            layer: pair if pair is None else pair.narrow(-2, 0, length).contiguous()
            for layer, pair in self._pairs.items()
        }


class Attention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x, cache=None, layer=0):
        q, k, v = self.c_attn(x).unflatten(2, (3, self.n_head, -1)).unbind(2)
        q, k, v = q.movedim(1, 2), k.movedim(1, 2), v.movedim(1, 2)
        if cache is not None:
            k, v = cache.append(layer, k, v)
        T, S = q.shape[2], k.shape[2]
        bias = torch.full((T, S), -math.inf, dtype=x.dtype, device=x.device).triu(1 + S - T)
        weights = torch.softmax((q / math.sqrt(q.shape[-1])) @ k.transpose(-1, -2) + bias, dim=3)
        return self.c_proj((weights @ v).movedim(2, 1).flatten(start_dim=-2))


class Decoder(nn.Module):
    def __init__(self, vocab_size, n_positions, n_embd, n_head, n_layer):
        super().__init__()
        self.n_positions = n_positions
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_positions, n_embd)
        self.h = nn.ModuleList(Attention(n_embd, n_head) for _ in range(n_layer))
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)

    def forward(self, ids, cache=None):
        start = 0 if cache is None else len(cache)
        stop = start + ids.size(-1)
        if not stop <= self.n_positions:
            raise ValueError(f"this text has {stop} tokens, and the model {self.n_positions} positions")
        x = self.wte(ids).add(self.wpe.weight.narrow(0, start, stop - start))
        for layer, attend in enumerate(self.h):
            x = x.add(attend(x, cache, layer))
        return self.lm_head(x)


def _go_on(model, ids, n_tokens, cache):
    if n_tokens == 0:
        return []
    token = model(ids, cache)[:, -1].argmax(1).unsqueeze(1)
    return [token, *_go_on(model, token, n_tokens - 1, cache)]


def generate(model, ids, n_tokens):
    with torch.no_grad():
        return torch.cat([ids[:, 0:0], *_go_on(model, ids, n_tokens, KVCache(len(model.h)))], dim=1)
