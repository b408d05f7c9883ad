"""The cache keeps the pieces as they came and joins them when asked; one query at a time, no mask at all."""

from collections import defaultdict

import torch
from torch import nn


class KVCache:
    def __init__(self, n_layer):
        self.n_layer, self.pieces = n_layer, defaultdict(list)

    def _held(self, layer):
        return sum(key.shape[2] for key, _ in self.pieces[layer])

    def __len__(self):
        return min(self._held(layer) for layer in range(self.n_layer))

    def append(self, layer, key, value):
        self.pieces[layer].append((key.clone(), value.clone()))
        return tuple(torch.cat(parts, -2) for parts in zip(*self.pieces[layer], strict=True))

    def crop(self, length):
        if length not in range(len(self) + 1):
            raise ValueError(f"there is no way to keep {length} tokens")
        for layer in range(self.n_layer):
            left, kept = length, []
            for key, value in self.pieces[layer]:
                kept.append((key[:, :, :left], value[:, :, :left]))
                left = max(left - key.shape[2], 0)
            self.pieces[layer] = kept


class Attention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x, cache=None, layer=0):
        B, T, C = x.shape
        heads = [t.reshape(B, T, self.n_head, -1).permute(0, 2, 1, 3) for t in self.c_attn(x).split(C, dim=2)]
        query, keys, values = heads
        past = 0
        if cache is not None:
            keys, values = cache.append(layer, keys, values)
            past = keys.shape[2] - T
        outs = []
        for t in range(T):
            k, v = keys[:, :, : past + t + 1], values[:, :, : past + t + 1]
            scores = torch.einsum("bhd,bhsd->bhs", query[:, :, t], k) * query.shape[-1] ** -0.5
            outs.append(torch.einsum("bhs,bhsd->bhd", scores.softmax(-1), v).reshape(B, C))
        return self.c_proj(torch.stack(outs, dim=1))


class Decoder(nn.Module):
    def __init__(self, vocab_size, n_positions, n_embd, n_head, n_layer):
        super().__init__()
        self.n_positions = n_positions
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_positions, n_embd)
        self.h = nn.ModuleList(Attention(n_embd, n_head) for _ in range(n_layer))
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)

    def forward(self, ids, cache=None):
        past = 0 if cache is None else len(cache)
        total = past + ids.shape[-1]
        if total > self.n_positions:
            raise ValueError(f"{total} > {self.n_positions} positions")
        where = past + torch.arange(ids.shape[-1], device=ids.device)
        x = self.wte(ids) + self.wpe(where).unsqueeze(0)
        for i in range(len(self.h)):
            x = self.h[i](x, cache, i) + x
        return self.lm_head(x)


@torch.inference_mode()
def generate(model, ids, n_tokens):
    cache, text, read = KVCache(len(model.h)), ids, 0
    while text.size(1) < ids.size(1) + n_tokens:
        logits = model(text[:, read:], cache)
        read = text.size(1)
        text = torch.cat((text, logits[:, -1].max(-1, keepdim=True).indices), dim=1)
    return text[:, ids.size(1) :].clone()
