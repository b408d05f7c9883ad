"""A deep copy of the model whose attention layers are exchanged; a cache that preallocates; additive masks."""

import copy
import math

import torch
from torch import nn

from common import problem

Attention = problem(5).CausalSelfAttention
generate = problem(15).generate


class KVCache:
    """Room for twice as many tokens as are there; handed out as views."""

    def __init__(self):
        self.room, self.length = None, 0

    def __len__(self):
        return self.length

    def append(self, key, value):
        end = self.length + key.size(2)
        if self.room is None or end > self.room.size(3):
            bigger = key.new_empty(2, *key.shape[:2], 2 * end, key.size(3))
            if self.room is not None:
                bigger[:, :, :, : self.length] = self.room[:, :, :, : self.length]
            self.room = bigger
        self.room[0, :, :, self.length : end] = key
        self.room[1, :, :, self.length : end] = value
        self.length = end
        return self.room[0, :, :, :end], self.room[1, :, :, :end]


class CachedCausalSelfAttention(Attention):
    def __init__(self, config):
        super().__init__(config)
        self.size = config.n_embd // config.n_head

    def forward(self, x, cache=None):
        if cache is None:
            return super().forward(x)
        B, T, C = x.shape
        q, k, v = self.c_attn(x).reshape(B, T, 3, -1, self.size).permute(2, 0, 3, 1, 4)
        past = len(cache)
        keys, values = cache.append(k, v)
        scores = torch.einsum("bhtd,bhsd->bhts", q, keys) / math.sqrt(self.size)
        closed = torch.full((T, past + T), -torch.inf, dtype=scores.dtype, device=x.device).triu(past + 1)
        weights = self.attn_dropout(torch.softmax(scores + closed, -1))
        out = torch.einsum("bhts,bhsd->bthd", weights, values).flatten(2)
        return self.resid_dropout(self.c_proj(out))


class Wrapper(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.gpt2 = copy.deepcopy(model)
        for block in self.gpt2.h:
            attention = CachedCausalSelfAttention(model.config).to(block.attn.c_attn.weight)
            attention.load_state_dict(block.attn.state_dict())
            block.attn = attention
        self.read, self.caches = None, None

    def forward(self, window):
        past = 0 if self.read is None else self.read.size(1)
        if not (0 < past < window.size(1) and torch.equal(window[:, :past], self.read)):
            past, self.caches = 0, [KVCache() for _ in self.gpt2.h]
        self.read = window
        x = self.gpt2.wte(window[:, past:]) + self.gpt2.wpe.weight[past : window.size(1)]
        for block, cache in zip(self.gpt2.h, self.caches):
            x = x + block.attn(block.ln_1(x), cache)
            x = x + block.mlp(block.ln_2(x))
        return self.gpt2.lm_head(self.gpt2.ln_f(x))


def generate_cached(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    return generate(Wrapper(model), batch, n_tokens, max_context, temperature, top_k, top_p, eos_id, generator)
