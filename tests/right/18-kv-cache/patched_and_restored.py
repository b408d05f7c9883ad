"""The model's own forward with its attention's forward and positions patched for the time of the call, and put back."""

import math
from contextlib import contextmanager

import torch

from common import problem

P5, P15 = problem(5), problem(15)


class KVCache:
    def __init__(self):
        self.clear()

    def clear(self):
        self._kv = None

    def __len__(self):
        return 0 if self._kv is None else self._kv.shape[-2]

    def append(self, key, value):
        both = torch.stack([key, value])
        self._kv = both if self._kv is None else torch.cat([self._kv, both], dim=-2)
        return self._kv[0], self._kv[1]


class CachedCausalSelfAttention(P5.CausalSelfAttention):
    def forward(self, x, cache=None):
        return step(self, x, cache)


def step(layer, x, cache):
    q, k, v = (t.unflatten(2, (layer.n_head, -1)).transpose(1, 2) for t in layer.c_attn(x).tensor_split(3, dim=2))
    past = 0
    if cache is not None:
        past = len(cache)
        k, v = cache.append(k, v)
    scores = (q / math.sqrt(q.size(-1))) @ k.transpose(2, 3)
    if q.size(2) > 1:
        future = torch.ones(q.size(2), k.size(2), dtype=torch.bool, device=x.device).triu(past + 1)
        scores.masked_fill_(future, torch.finfo(scores.dtype).min)
    out = layer.attn_dropout(scores.softmax(-1)) @ v
    return layer.resid_dropout(layer.c_proj(out.transpose(1, 2).flatten(2)))


@contextmanager
def patched(model, caches):
    for block, cache in zip(model.h, caches):
        block.attn.forward = lambda x, layer=block.attn, cache=cache: step(layer, x, cache)
    wpe = model.wpe.forward
    model.wpe.forward = lambda positions: wpe(positions + len(caches[0]))
    try:
        yield
    finally:
        for block in model.h:
            del block.attn.forward
        del model.wpe.forward


class Once(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.caches = model, [KVCache() for _ in model.h]
        self.train(model.training)

    def forward(self, ids):
        if ids.size(1) == len(self.caches[0]):
            for cache in self.caches:
                cache.clear()
        return self.model(ids[:, len(self.caches[0]):])


def generate_cached(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    once = Once(model)
    with patched(model, once.caches):
        return P15.generate(once, batch, n_tokens, max_context, temperature=temperature, top_k=top_k, top_p=top_p, eos_id=eos_id, generator=generator)
