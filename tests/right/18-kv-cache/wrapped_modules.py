"""The attention inherits from 05 and lends the parameters of the model's own layers; the cache is a list of chunks; sdpa."""
import torch
import torch.nn.functional as F

from common import problem

CausalSelfAttention = problem(5).CausalSelfAttention
choose_from = problem(15).filter_logits


class KVCache:
    def __init__(self):
        self._chunks = []

    def __len__(self):
        return sum(key.size(2) for key, _ in self._chunks)

    def append(self, key, value):
        if key.size(2) != value.size(2):
            raise ValueError(f"{key.size(2)} keys but {value.size(2)} values")
        self._chunks = [*self._chunks, (key, value)]
        keys, values = (torch.cat(parts, dim=2) for parts in zip(*self._chunks))
        return keys, values


class CachedCausalSelfAttention(CausalSelfAttention):
    def __init__(self, config):
        super().__init__(config)
        self.heads = config.n_head

    @classmethod
    def around(cls, attn, config):
        self = cls.__new__(cls)
        torch.nn.Module.__init__(self)
        self.heads = config.n_head
        self.c_attn, self.c_proj = attn.c_attn, attn.c_proj
        self.attn_dropout = self.resid_dropout = torch.nn.Identity()
        return self

    def forward(self, x, cache=None):
        cache = KVCache() if cache is None else cache
        offset = len(cache)
        heads = [part.unflatten(2, (self.heads, x.size(2) // self.heads)).transpose(1, 2) for part in self.c_attn(x).chunk(3, 2)]
        keys, values = cache.append(heads[1], heads[2])
        rows = torch.arange(offset, offset + x.size(1), device=x.device)
        allowed = torch.arange(keys.size(2), device=x.device) <= rows[:, None]
        if self.training and isinstance(self.attn_dropout, torch.nn.Dropout) and self.attn_dropout.p:
            scores = torch.einsum("bhqd,bhkd->bhqk", heads[0], keys) * heads[0].size(-1) ** -0.5
            weights = self.attn_dropout(torch.softmax(scores.where(allowed, torch.finfo(scores.dtype).min), -1))
            mixed = torch.einsum("bhqk,bhkd->bhqd", weights, values)
        else:
            mixed = F.scaled_dot_product_attention(heads[0], keys, values, attn_mask=allowed)
        return self.resid_dropout(self.c_proj(mixed.transpose(1, 2).flatten(2)))


class Runner:
    def __init__(self, model):
        self.model = model
        self.attentions = [CachedCausalSelfAttention.around(block.attn, model.config) for block in model.h]
        self.restart()

    def restart(self):
        self.caches = [KVCache() for _ in self.attentions]

    def __call__(self, ids):
        model, start = self.model, len(self.caches[0]) if self.caches else 0
        stop = start + ids.size(1)
        if stop > model.config.n_positions:
            raise ValueError(f"a context of {stop} tokens exceeds n_positions={model.config.n_positions}")
        x = model.drop(model.wte(ids) + model.wpe(torch.arange(start, stop, device=ids.device)))
        for block, attend, cache in zip(model.h, self.attentions, self.caches):
            x = x + attend(block.ln_1(x), cache)
            x = x + block.mlp(block.ln_2(x))
        return model.lm_head(model.ln_f(x))[:, -1]


def generate_cached(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    if min(n_tokens, max_context - 1, temperature) < 0:
        raise ValueError(f"n_tokens={n_tokens} (0 or more), max_context={max_context} (1 or more), temperature={temperature} (0 or more)")
    was = {module: module.training for module in model.modules()}
    for module in was:
        module.training = False
    out, window, run = [], batch[:, max(0, batch.size(1) - max_context) :], Runner(model)
    fed = window
    over = torch.zeros(batch.size(0), dtype=torch.bool, device=batch.device)
    try:
        with torch.no_grad():
            while len(out) < n_tokens and not bool(over.all()):
                logits = run(fed)
                filtered = choose_from(logits, temperature or 1.0, top_k, top_p)
                if temperature:
                    token = torch.multinomial(torch.softmax(filtered, -1), num_samples=1, generator=generator)[:, 0]
                else:
                    token = logits.argmax(-1)
                if eos_id is not None:
                    token = torch.where(over, eos_id, token)
                    over = over | token.eq(eos_id)
                out.append(token)
                window = torch.cat((window, token[:, None]), 1)
                if window.size(1) > max_context:
                    window = window[:, 1:]
                    run.restart()
                    fed = window
                else:
                    fed = token[:, None]
    finally:
        for module, flag in was.items():
            module.training = flag
    return torch.stack(out, 1) if out else batch.new_empty(batch.size(0), 0)
