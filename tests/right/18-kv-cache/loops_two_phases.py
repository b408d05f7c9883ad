"""Two phases (growing, sliding), the attention loops over heads, sampling written out; the cache is a subclass of list."""
import torch
from torch import nn


class KVCache(list):
    """[keys, values], each (B, H, T, D), or empty; its len is the number of tokens."""

    def __len__(self):
        return self[0].shape[2] if super().__len__() else 0

    def append(self, key, value):
        if super().__len__():
            key = torch.cat((self[0], key), dim=2)
            value = torch.cat((self[1], value), dim=2)
        self[:] = [key, value]
        return key, value


def _heads(x, n_head):
    return torch.stack(x.chunk(n_head, dim=-1), dim=1)


def _attend(c_attn, c_proj, n_head, x, cache, drop):
    q, k, v = (_heads(part, n_head) for part in torch.tensor_split(c_attn(x), 3, dim=-1))
    held = 0
    if cache is not None:
        held = len(cache)
        k, v = cache.append(k, v)
    outputs = []
    steps = torch.arange(k.shape[2], device=x.device)
    later = steps[None, :] > steps[held:, None]
    for head in range(n_head):
        scores = torch.bmm(q[:, head], k[:, head].mT).div(q.shape[-1] ** 0.5)
        scores = scores.masked_fill(later, -torch.inf)
        outputs.append(torch.bmm(drop(torch.softmax(scores, dim=2)), v[:, head]))
    return c_proj(torch.cat(outputs, dim=-1))


class CachedCausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.c_attn = nn.Linear(config.n_embd, config.n_embd * 3)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x, cache=None):
        y = _attend(self.c_attn, self.c_proj, self.config.n_head, x, cache, self.attn_dropout)
        return self.resid_dropout(y)


def _keep(logits, temperature, top_k, top_p):
    logits = logits / temperature
    if top_k is not None:
        least = torch.topk(logits, min(top_k, logits.shape[1])).values.amin(dim=1, keepdim=True)
        logits = torch.where(logits < least, -torch.inf, logits)
    if top_p is not None and top_p < 1:
        values, order = torch.sort(logits, dim=1, descending=True)
        before = torch.softmax(values, dim=1).cumsum(dim=1).roll(1, dims=1)
        before[:, 0] = 0
        logits = torch.full_like(logits, -torch.inf).scatter(1, order, torch.where(before < top_p, values, -torch.inf))
    return logits


def _forward(model, ids, caches):
    start = len(caches[0])
    if start + ids.shape[1] > model.config.n_positions:
        raise ValueError(f"position {start + ids.shape[1]} is past n_positions = {model.config.n_positions}")
    x = model.wte(ids) + model.wpe(start + torch.arange(ids.shape[1], device=ids.device)).unsqueeze(0)
    for i, block in enumerate(model.h):
        x = x + _attend(block.attn.c_attn, block.attn.c_proj, model.config.n_head, block.ln_1(x), caches[i], lambda w: w)
        x = x + block.mlp(block.ln_2(x))
    return model.lm_head(model.ln_f(x))[:, -1, :]


def generate_cached(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    for name, value, least in (("n_tokens", n_tokens, 0), ("max_context", max_context, 1), ("temperature", temperature, 0), ("top_k", top_k, 1)):
        if value is not None and value < least:
            raise ValueError(f"{name} = {value} is smaller than {least}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p = {top_p} is not in (0, 1]")

    def new_caches():
        return [KVCache() for _ in range(len(model.h))]

    def pick(logits):
        if temperature == 0:
            return logits.argmax(dim=1)
        return torch.multinomial(torch.softmax(_keep(logits, temperature, top_k, top_p), dim=1), 1, generator=generator).flatten()

    rows, given = batch.shape
    ids = batch.clone()
    ended = [False] * rows

    def put(logits):
        nonlocal ids
        tokens = pick(logits).tolist()
        for r in range(rows):
            if ended[r]:
                tokens[r] = eos_id
            ended[r] = eos_id is not None and tokens[r] == eos_id
        ids = torch.cat([ids, torch.tensor(tokens, dtype=ids.dtype, device=ids.device).reshape(rows, 1)], dim=1)
        return all(ended)

    states = [m.training for m in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            done = n_tokens == 0
            if not done and given <= max_context:  # growing
                caches = new_caches()
                done = put(_forward(model, ids, caches))
                while not done and ids.shape[1] - given < n_tokens and ids.shape[1] <= max_context:
                    done = put(_forward(model, ids[:, -1:], caches))
            while not done and ids.shape[1] - given < n_tokens:  # sliding
                done = put(_forward(model, ids[:, -max_context:], new_caches()))
    finally:
        for m, state in zip(model.modules(), states):
            m.training = state
    return ids[:, given:]
