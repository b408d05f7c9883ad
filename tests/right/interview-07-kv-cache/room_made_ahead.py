"""Room for tokens is doubled when it is full; torch's own attention; a length for each layer."""

import torch
import torch.nn.functional as F
from torch import nn


class KVCache:
    def __init__(self, n_layer):
        self.room = [None] * n_layer
        self.used = [0] * n_layer

    def __len__(self):
        return min(self.used)

    def append(self, layer, key, value):
        start, end = self.used[layer], self.used[layer] + key.size(2)
        room = self.room[layer]
        if room is None or end > room.size(3):
            B, H, _, D = key.shape
            larger = key.new_empty(2, B, H, 2 * end, D)
            if room is not None:
                larger[:, :, :, :start] = room[:, :, :, :start]
            self.room[layer] = room = larger
        room[0, :, :, start:end] = key
        room[1, :, :, start:end] = value
        self.used[layer] = end
        return room[0, :, :, :end], room[1, :, :, :end]

    def crop(self, length):
        if length < 0 or length > len(self):
            raise ValueError(f"length {length} is not between 0 and {len(self)}")
        self.used = [length] * len(self.used)


class Attention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.c_attn = nn.Linear(n_embd, 3 * n_embd)
        self.c_proj = nn.Linear(n_embd, n_embd)

    def forward(self, x, cache=None, layer=0):
        B, T, C = x.shape
        q, k, v = self.c_attn(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        mask = None
        if cache is not None:
            k, v = cache.append(layer, k, v)
            S = k.size(2)
            mask = torch.arange(S, device=x.device) <= torch.arange(S - T, S, device=x.device).unsqueeze(1)
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=mask is None)
        return self.c_proj(out.transpose(1, 2).reshape(B, T, C))


class Decoder(nn.Module):
    def __init__(self, vocab_size, n_positions, n_embd, n_head, n_layer):
        super().__init__()
        self.n_positions = n_positions
        self.wte = nn.Embedding(vocab_size, n_embd)
        self.wpe = nn.Embedding(n_positions, n_embd)
        self.h = nn.ModuleList(Attention(n_embd, n_head) for _ in range(n_layer))
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)

    def forward(self, ids, cache=None):
        first = len(cache) if cache is not None else 0
        if first + ids.shape[1] > self.wpe.num_embeddings:
            raise ValueError(f"{first + ids.shape[1]} tokens are more than {self.wpe.num_embeddings}")
        x = self.wte(ids) + self.wpe.weight[first : first + ids.shape[1]]
        for i, block in enumerate(self.h):
            x = x + block(x, cache=cache, layer=i)
        return self.lm_head(x)


def generate(model, ids, n_tokens):
    out = ids.new_empty(ids.size(0), n_tokens)
    with torch.no_grad():
        cache = KVCache(len(model.h))
        for step in range(n_tokens):
            out[:, step] = model(ids, cache)[:, -1].argmax(-1)
            ids = out[:, step : step + 1]
    return out
