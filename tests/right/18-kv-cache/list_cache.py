"""A cache that is a list of single tokens; the first step apart from the loop; padded to n_tokens after the end."""

import torch

from common import problem

split, merge = problem(4).split_heads, problem(4).merge_heads
scaled = problem(3).scaled_dot_product_attention
filter_logits = problem(15).filter_logits


class KVCache(list):
    def append(self, key, value):
        for t in range(key.size(2)):
            super().append((key[:, :, t], value[:, :, t]))
        return tuple(torch.stack([pair[i] for pair in self], dim=2) for i in (0, 1))


class CachedCausalSelfAttention(problem(4).MultiHeadAttention):
    def forward(self, x, cache=None):
        q, k, v = (split(part, self.n_head) for part in self.c_attn(x).chunk(3, -1))
        if cache is not None:
            k, v = cache.append(k, v)
        T, S = x.size(1), k.size(2)
        mask = torch.ones(T, S, dtype=torch.bool, device=x.device).tril(S - T)
        if self.training:
            weights = self.attn_dropout(scaled(q, k, v, mask)[1])
            return self.resid_dropout(self.c_proj(merge(weights @ v)))
        return self.c_proj(merge(scaled(q, k, v, mask)[0]))


@torch.no_grad()
def _read(model, ids, caches):
    at = len(caches[0])
    x = model.drop(model.wte(ids) + model.wpe(torch.arange(at, at + ids.size(1), device=ids.device)))
    for block, cache in zip(model.h, caches):
        x = x + CachedCausalSelfAttention.forward(block.attn, block.ln_1(x), cache)
        x = x + block.mlp(block.ln_2(x))
    return model.lm_head(model.ln_f(x[:, -1]))


def generate_cached(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    mode = model.training
    model.eval()
    try:
        window = batch[:, -max_context:]
        caches = [KVCache() for _ in model.h]
        new = torch.full((batch.size(0), n_tokens), eos_id or 0, dtype=torch.long, device=batch.device)
        ended = batch.new_zeros(batch.size(0), dtype=torch.bool)
        logits = _read(model, window, caches) if n_tokens else None
        for step in range(n_tokens):
            if temperature == 0:
                token = logits.argmax(-1)
            else:
                probs = filter_logits(logits, temperature, top_k, top_p).softmax(-1)
                token = torch.multinomial(probs, 1, generator=generator)[:, 0]
            if eos_id is not None:
                token = token.where(~ended, eos_id)
                ended = ended | (token == eos_id)
            new[:, step] = token
            if eos_id is not None and bool(ended.all()):
                break
            window = torch.cat([window, token[:, None]], 1)
            if window.size(1) > max_context:
                window, caches = window[:, 1:], [KVCache() for _ in model.h]
            if step + 1 < n_tokens:
                logits = _read(model, window[:, len(caches[0]):], caches)
        return new
    finally:
        model.train(mode)
