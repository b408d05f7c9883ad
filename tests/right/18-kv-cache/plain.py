"""Key-value cache, plain version: a function walks through the modules of the model."""
import contextlib
import math

import torch
from torch import nn

from common import problem

filter_logits = problem(15).filter_logits


class KVCache:
    def __init__(self):
        self.keys = None
        self.values = None

    def __len__(self):
        return 0 if self.keys is None else self.keys.shape[-2]

    def append(self, key, value):
        if key.shape != value.shape:
            raise ValueError(f"key has shape {tuple(key.shape)}, value has {tuple(value.shape)}, they must be equal")
        if self.keys is None:
            self.keys, self.values = key, value
        else:
            self.keys = torch.cat([self.keys, key], dim=-2)
            self.values = torch.cat([self.values, value], dim=-2)
        return self.keys, self.values


def attention(attn, n_head, x, cache, dropout=None):
    batch_size, seq_len, width = x.shape
    query, key, value = (
        part.view(batch_size, seq_len, n_head, width // n_head).transpose(1, 2) for part in attn.c_attn(x).split(width, dim=-1)
    )
    past = 0
    if cache is not None:
        past = len(cache)
        key, value = cache.append(key, value)
    scores = query @ key.transpose(-2, -1) / math.sqrt(width // n_head)
    mask = torch.ones(seq_len, past + seq_len, dtype=torch.bool, device=x.device).tril(diagonal=past)
    weights = scores.masked_fill(~mask, float("-inf")).softmax(dim=-1)
    if dropout is not None:
        weights = dropout(weights)
    y = (weights @ value).transpose(1, 2).reshape(batch_size, seq_len, width)
    return attn.c_proj(y)


class CachedCausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x, cache=None):
        return self.resid_dropout(attention(self, self.n_head, x, cache, self.attn_dropout))


def last_logits(model, input_ids, caches):
    """Feed tokens that the caches do not hold yet; logits (B, V) after the last of them."""
    past = len(caches[0])
    length = past + input_ids.shape[1]
    if length > model.config.n_positions:
        raise ValueError(f"{length} tokens are too many, n_positions is {model.config.n_positions}")
    positions = torch.arange(past, length, device=input_ids.device)
    x = model.wte(input_ids) + model.wpe(positions)
    for block, cache in zip(model.h, caches):
        x = x + attention(block.attn, model.config.n_head, block.ln_1(x), cache)
        x = x + block.mlp(block.ln_2(x))
    return model.lm_head(model.ln_f(x[:, -1]))


@contextlib.contextmanager
def evaluation_mode(model):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@torch.no_grad()
def generate_cached(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    if n_tokens < 0:
        raise ValueError(f"n_tokens is {n_tokens}, but must be at least 0")
    if max_context < 1:
        raise ValueError(f"max_context is {max_context}, but must be at least 1")
    prompt_length = batch.shape[1]
    ended = torch.zeros(batch.shape[0], 1, dtype=torch.bool, device=batch.device)
    caches = None
    with evaluation_mode(model):
        for _ in range(n_tokens):
            if caches is None or batch.shape[1] > max_context:
                caches = [KVCache() for _ in model.h]
                fresh = batch[:, -max_context:]
            else:
                fresh = batch[:, -1:]
            logits = last_logits(model, fresh, caches)
            filtered = filter_logits(logits, temperature if temperature != 0 else 1.0, top_k, top_p)
            if temperature == 0:
                token = logits.argmax(dim=-1, keepdim=True)
            else:
                token = torch.multinomial(filtered.softmax(dim=-1), 1, generator=generator)
            if eos_id is not None:
                token = token.masked_fill(ended, eos_id)
                ended = ended | (token == eos_id)
            batch = torch.cat([batch, token], dim=1)
            if ended.all():
                break
    return batch[:, prompt_length:]
