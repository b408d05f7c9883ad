"""A cache that writes into a buffer with room to spare; PyTorch's fused attention with a mask by position."""

import torch
import torch.nn.functional as F
from torch import nn

from common import problem

filter_logits = problem(15).filter_logits


class KVCache:
    def __init__(self):
        self.buffer, self.n = None, 0

    def __len__(self):
        return self.n

    def append(self, key, value):
        new = torch.stack([key, value])
        end = self.n + key.size(-2)
        if self.buffer is None or end > self.buffer.size(-2):
            shape = [*new.shape]
            shape[-2] = 2 * end
            larger = new.new_empty(shape)
            if self.n:
                larger[..., : self.n, :] = self.buffer[..., : self.n, :]
            self.buffer = larger
        self.buffer[..., self.n : end, :] = new
        self.n = end
        return self.buffer[0, ..., :end, :], self.buffer[1, ..., :end, :]


class CachedCausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head, self.rate = config.n_head, config.attn_pdrop
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x, cache=None):
        mixed = attend(self.c_attn(x), self.n_head, cache, self.rate if self.training else 0.0)
        return self.resid_dropout(self.c_proj(mixed))


def attend(qkv, n_head, cache, rate=0.0):
    B, T, _ = qkv.shape
    q, k, v = qkv.view(B, T, 3, n_head, -1).permute(2, 0, 3, 1, 4)
    if cache is not None:
        k, v = cache.append(k, v)
    keys = torch.arange(k.size(2), device=q.device)
    mask = keys <= keys[-T:, None]
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=rate).transpose(1, 2).reshape(B, T, -1)


def generate_cached(
    model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None
):
    def read(ids, caches):
        past = len(caches[0])
        x = model.wte(ids) + model.wpe.weight[past : past + ids.size(1)]
        for block, cache in zip(model.h, caches, strict=True):
            x = x + block.attn.c_proj(attend(block.attn.c_attn(block.ln_1(x)), model.config.n_head, cache))
            x = x + block.mlp(block.ln_2(x))
        return model.lm_head(model.ln_f(x))[:, -1]

    def choose(logits):
        if temperature == 0:
            return logits.argmax(-1)
        return filter_logits(logits, temperature, top_k, top_p).softmax(-1).multinomial(1, generator=generator)[:, 0]

    modes = {part: part.training for part in model.modules()}
    model.train(False)
    done, new = torch.zeros(len(batch), dtype=torch.bool, device=batch.device), []
    try:
        with torch.inference_mode():
            caches, unread = [KVCache() for _ in model.h], batch[:, -max_context:]
            while len(new) < n_tokens and not bool(done.all()):
                if len(caches[0]) + unread.size(1) > max_context:
                    caches = [KVCache() for _ in model.h]
                    unread = torch.cat([batch, *new], dim=1)[:, -max_context:]
                token = choose(read(unread, caches))
                if eos_id is not None:
                    token[done] = eos_id
                    done |= token == eos_id
                unread = token[:, None]
                new.append(unread)
    finally:
        for part, mode in modes.items():
            part.training = mode
    return torch.cat([batch[:, :0], *new], dim=1).clone()
