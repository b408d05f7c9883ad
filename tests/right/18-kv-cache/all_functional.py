"""The whole pass in functions of the state dict; one head after the other; a cache that keeps lists of pieces."""

import torch
import torch.nn.functional as F

from common import problem

filter_logits = problem(15).filter_logits


class KVCache:
    def __init__(self):
        self.parts = []

    def __len__(self):
        return sum(key.shape[2] for key, _ in self.parts)

    def append(self, key, value):
        self.parts.append((key, value))
        return torch.cat([k for k, _ in self.parts], 2), torch.cat([v for _, v in self.parts], 2)


def attend(qkv, heads, cache, dropout=lambda weights: weights):
    B, T, C = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    D = C // heads
    q, k, v = (qkv[:, :, i * C : (i + 1) * C].reshape(B, T, heads, D).movedim(2, 1) for i in range(3))
    past = 0
    if cache is not None:
        past = len(cache)
        k, v = cache.append(k, v)
    outs = []
    for head in range(heads):
        rows = []
        for t in range(T):
            seen = past + t + 1
            scores = (q[:, head, t, None] * k[:, head, :seen]).sum(-1) / D**0.5
            weights = dropout(F.softmax(scores, dim=1))
            rows.append((weights[:, :, None] * v[:, head, :seen]).sum(1))
        outs.append(torch.stack(rows, 1))
    return torch.cat(outs, -1)


class CachedCausalSelfAttention(torch.nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.c_attn = torch.nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = torch.nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x, cache=None):
        y = attend(self.c_attn(x), self.config.n_head, cache, lambda w: F.dropout(w, self.config.attn_pdrop, self.training))
        return F.dropout(self.c_proj(y), self.config.resid_pdrop, self.training)


def generate_cached(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    w, c = model.state_dict(), model.config

    def norm(x, name):
        return F.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], c.layer_norm_epsilon)

    def linear(x, name):
        return x @ w[name + ".weight"].t() + w[name + ".bias"]

    new, rows = [], [row for row in batch.tolist()]
    text, caches = batch, []
    over = torch.zeros(len(rows), dtype=torch.bool, device=batch.device)
    with torch.inference_mode():
        while len(new) < n_tokens and not (eos_id is not None and over.all()):
            if not caches or text.shape[1] > max_context:
                caches = [KVCache() for _ in range(c.n_layer)]
            window = text[:, -max_context:]
            past = len(caches[0])
            fresh = window[:, past:]
            x = w["wte.weight"][fresh] + w["wpe.weight"][past : window.shape[1]]
            for i, cache in enumerate(caches):
                h = f"h.{i}."
                x = x + linear(attend(linear(norm(x, h + "ln_1"), h + "attn.c_attn"), c.n_head, cache), h + "attn.c_proj")
                x = x + linear(F.gelu(linear(norm(x, h + "ln_2"), h + "mlp.c_fc"), approximate="tanh"), h + "mlp.c_proj")
            logits = norm(x[:, -1], "ln_f") @ w["wte.weight"].t()
            if temperature == 0:
                token = logits.argmax(1)
            else:
                p = filter_logits(logits, temperature, top_k, top_p).softmax(1)
                token = torch.multinomial(p, 1, generator=generator).flatten()
            if eos_id is not None:
                token[over] = eos_id
                over |= token == eos_id
            new.append(token)
            text = torch.cat([text, token.unsqueeze(1)], 1)
    return torch.stack(new, 1) if new else batch.new_empty(batch.shape[0], 0)
