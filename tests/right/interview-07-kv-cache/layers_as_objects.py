"""A small class for one layer's past; the mask only where it is needed; heads folded into the batch for baddbmm."""

import torch
from torch import nn


class _Past:
    def __init__(self):
        self.kv = []

    def size(self):
        return self.kv[0].size(2) if self.kv else 0

    def add(self, *new):
        self.kv = [torch.cat(pair, 2) for pair in zip(self.kv, new, strict=True)] if self.kv else list(new)
        return tuple(self.kv)

    def keep(self, length):
        self.kv = [t[:, :, :length].contiguous() for t in self.kv] if length else []


class KVCache:
    def __init__(self, n_layer):
        self.pasts = tuple(_Past() for _ in range(n_layer))

    def __len__(self):
        return min(map(_Past.size, self.pasts))

    def append(self, layer, key, value):
        return self.pasts[layer].add(key, value)

    def crop(self, length):
        if length < 0:
            raise ValueError(f"a cache cannot hold {length} tokens")
        if length > len(self):
            raise ValueError(f"{length} tokens wanted, {len(self)} held")
        for past in self.pasts:
            past.keep(length)


class Attention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x, cache=None, layer=0):
        B, T, C = x.shape
        D = C // self.n_head
        q, k, v = [p.view(B, T, self.n_head, D).transpose(1, 2) for p in self.c_attn(x).split(C, -1)]
        if cache is not None:
            k, v = cache.append(layer, k, v)
        S = k.size(2)
        q, k, v = (t.reshape(B * self.n_head, -1, D) for t in (q, k, v))
        scores = torch.bmm(q, k.transpose(1, 2)).mul(D**-0.5)
        if T > 1:
            rows = torch.arange(T, device=x.device).view(T, 1)
            hidden = torch.arange(S, device=x.device).view(1, S) - (S - T) > rows
            scores = scores.masked_fill(hidden, float("-inf"))
        scores = scores - scores.amax(-1, keepdim=True)
        weights = scores.exp()
        weights = weights / weights.sum(-1, keepdim=True)
        out = torch.bmm(weights, v).view(B, self.n_head, T, D)
        return self.c_proj(out.permute(0, 2, 1, 3).reshape(B, T, C))


class Decoder(nn.Module):
    def __init__(self, vocab_size, n_positions, n_embd, n_head, n_layer):
        super().__init__()
        self.n_positions = n_positions
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_positions, n_embd)
        self.h = nn.ModuleList(Attention(n_embd, n_head) for _ in range(n_layer))
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)

    def forward(self, ids, cache=None):
        T = ids.size(1)
        cache = cache if cache is not None else KVCache(len(self.h))
        past = len(cache)
        if past + T > self.n_positions:
            raise ValueError(f"position {past + T - 1} does not exist: {past + T} tokens, {self.n_positions} positions")
        positions = torch.ones_like(ids).cumsum(1) + (past - 1)
        x = self.wte(ids) + self.wpe(positions)
        for number, layer in enumerate(self.h):
            x = x + layer(x, cache, number)
        return self.lm_head(x)


@torch.no_grad()
def generate(model, ids, n_tokens):
    cache = KVCache(len(model.h))
    out = [torch.empty_like(ids[:, :0])]
    feed = ids
    while len(out) <= n_tokens:
        feed = model(feed, cache)[:, -1:].topk(1).indices.squeeze(-1)
        out.append(feed)
    return torch.hstack(out)
