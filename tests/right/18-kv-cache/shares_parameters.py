"""One cached attention for each block that holds the block's own layers; a loop of its own; SDPA with a mask by positions."""

import torch
import torch.nn as nn
import torch.nn.functional as F

from common import problem

filter_logits = problem(15).filter_logits


class KVCache:
    def __init__(self):
        self.key = self.value = None

    def __len__(self):
        return self.key.shape[-2] if self.key is not None else 0

    def append(self, key, value):
        if len(self):
            key = torch.cat((self.key, key), -2)
            value = torch.cat((self.value, value), -2)
        self.key, self.value = key, value
        return self.key, self.value


class CachedCausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.heads = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x, cache=None):
        B, T, C = x.shape
        past = 0 if cache is None else len(cache)
        q, k, v = (t.view(B, T, self.heads, -1).transpose(1, 2) for t in self.c_attn(x).split(C, dim=2))
        if cache is not None:
            k, v = cache.append(k, v)
        rows = torch.arange(past, past + T, device=x.device)[:, None]
        columns = torch.arange(past + T, device=x.device)[None]
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=rows >= columns, dropout_p=self.attn_dropout.p if self.training else 0.0)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).reshape(B, T, C)))


@torch.no_grad()
def generate_cached(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    layers = []
    for block in model.h:
        layer = CachedCausalSelfAttention(model.config)
        layer.c_attn, layer.c_proj = block.attn.c_attn, block.attn.c_proj
        layers.append(layer.eval())
    was_training = model.training
    model.eval()
    for layer in layers:
        layer.eval()
    try:
        text, caches = batch, None
        done = torch.zeros(batch.shape[0], 1, dtype=torch.bool, device=batch.device)
        for _ in range(n_tokens):
            if caches is None or text.shape[1] > max_context:
                caches, fresh = [KVCache() for _ in layers], text[:, -max_context:]
            else:
                fresh = text[:, -1:]
            start = len(caches[0])
            x = model.wte(fresh) + model.wpe(torch.arange(start, start + fresh.shape[1], device=fresh.device))
            for block, layer, cache in zip(model.h, layers, caches):
                x = x + layer(block.ln_1(x), cache)
                x = x + block.mlp(block.ln_2(x))
            logits = model.lm_head(model.ln_f(x))[:, -1]
            if temperature == 0:
                token = logits.argmax(-1, keepdim=True)
            else:
                token = torch.multinomial(filter_logits(logits, temperature, top_k, top_p).softmax(-1), 1, generator=generator)
            if eos_id is not None:
                token = torch.where(done, torch.full_like(token, eos_id), token)
                done = done | (token == eos_id)
            text = torch.cat((text, token), dim=1)
            if done.all():
                break
        return text[:, batch.shape[1]:]
    finally:
        model.train(was_training)
