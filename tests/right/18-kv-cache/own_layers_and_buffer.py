"""Attention layers of its own with copied weights, a mask buffer, tokens-first storage, a window kept apart."""

import math

import torch
from torch import nn

from common import problem

filter_logits = problem(15).filter_logits


class KVCache:
    """(B, T, H, D) inside"""

    def __init__(self):
        self._k = self._v = None
        self._n = 0

    def __len__(self):
        return self._n

    def __bool__(self):
        return True

    def append(self, key, value):
        k, v = key.transpose(1, 2), value.transpose(1, 2)
        if self._n:
            k, v = torch.cat([self._k, k], 1), torch.cat([self._v, v], 1)
        self._k, self._v, self._n = k, v, k.shape[1]
        return k.transpose(1, 2), v.transpose(1, 2)


class CachedCausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout, self.resid_dropout = nn.Dropout(config.attn_pdrop), nn.Dropout(config.resid_pdrop)
        self.h, self.d = config.n_head, config.head_dim
        n = config.n_positions
        self.register_buffer("visible", torch.tril(torch.ones(n, n)).bool(), persistent=False)

    def forward(self, x, cache=None):
        B, T, C = x.shape
        q, k, v = self.c_attn(x).split(C, -1)
        q, k, v = [t.view(B, T, self.h, self.d).transpose(1, 2) for t in (q, k, v)]
        p = len(cache) if cache is not None else 0
        if cache:
            k, v = cache.append(k, v)
        att = (q @ k.transpose(-1, -2)) * (1 / math.sqrt(self.d))
        att = torch.where(
            self.visible[p : p + T, : p + T], att, torch.tensor(-1e9, dtype=att.dtype, device=att.device)
        )
        y = self.attn_dropout(att.softmax(-1)) @ v
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C)))


def generate_cached(
    model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None
):
    was = model.training
    model.eval()
    try:
        with torch.inference_mode():
            return _go(model, batch, n_tokens, max_context, temperature, top_k, top_p, eos_id, generator)
    finally:
        model.train(was)


def _twin(block, config):
    a = CachedCausalSelfAttention(config).to(block.attn.c_attn.weight.device, block.attn.c_attn.weight.dtype)
    a.load_state_dict(block.attn.state_dict())
    return a.eval()


def _go(model, batch, n, limit, temperature, top_k, top_p, eos_id, generator):
    attns = [_twin(b, model.config) for b in model.h]
    caches = [KVCache() for _ in attns]
    window = batch[:, -limit:]

    def read(ids):
        past = len(caches[0])
        x = model.drop(model.wte(ids) + model.wpe(torch.arange(ids.size(1), device=ids.device) + past))
        for b, a, c in zip(model.h, attns, caches):
            x = x + a(b.ln_1(x), c)
            x = x + b.mlp(b.ln_2(x))
        return model.lm_head(model.ln_f(x))[:, -1, :]

    logits = read(window)
    out, done = [], torch.zeros_like(batch[:, 0], dtype=torch.bool)
    for _ in range(n):
        if temperature == 0:
            tok = logits.argmax(-1)
        else:
            tok = torch.multinomial(
                torch.softmax(filter_logits(logits, temperature, top_k, top_p), -1), 1, generator=generator
            )[:, 0]
        if eos_id is not None:
            tok = torch.where(done, torch.as_tensor(eos_id, device=tok.device), tok)
            done |= tok.eq(eos_id)
        out.append(tok)
        if done.all():
            break
        window = torch.cat([window, tok[:, None]], 1)
        if window.size(1) > limit:
            window = window[:, -limit:]
            caches = [KVCache() for _ in attns]
            logits = read(window)
        else:
            logits = read(tok[:, None])
    return torch.stack(out, 1) if out else batch[:, :0].clone()
