"""One tensor for keys and values, einsum, and a softmax by hand; the loop is a generator that yields tokens."""

import torch

from common import problem


class KVCache:
    past = None  # (2, B, H, S, D), replaced and never written to

    def __len__(self):
        return 0 if self.past is None else self.past.shape[3]

    def append(self, key, value):
        new = torch.stack((key, value))
        self.past = new if self.past is None else torch.cat((self.past, new), dim=3)
        return tuple(self.past)


class CachedCausalSelfAttention(problem(5).CausalSelfAttention):
    def forward(self, x, cache=None):
        return mixed(self, self.n_head, x, KVCache() if cache is None else cache)


def mixed(layer, n_head, x, cache):
    query, key, value = layer.c_attn(x).unflatten(-1, (3, n_head, -1)).unbind(2)  # (B, T, H, D)
    before = len(cache)
    keys, values = cache.append(key.transpose(1, 2), value.transpose(1, 2))
    scores = torch.einsum("bthd,bhsd->bhts", query * query.shape[-1] ** -0.5, keys)
    for t in range(x.shape[1]):
        scores[:, :, t, before + t + 1 :] = float("-inf")
    powers = (scores - scores.amax(-1, keepdim=True)).exp()
    weights = layer.attn_dropout(powers / powers.sum(-1, keepdim=True))
    return layer.resid_dropout(layer.c_proj(torch.einsum("bhts,bhsd->bthd", weights, values).flatten(2)))


def logits_of(model, text, max_context):
    """Send each longer text in; what comes out are the logits of its last position."""
    caches = []
    while True:
        window = text[:, -max_context:]
        if not caches or len(caches[0]) >= window.shape[1]:
            caches = [KVCache() for _ in model.h]
        fresh = range(len(caches[0]), window.shape[1])
        x = model.wte(window[:, fresh.start :]) + model.wpe(torch.tensor([*fresh], device=text.device))
        for block, cache in zip(model.h, caches, strict=True):
            x = x + mixed(block.attn, model.config.n_head, block.ln_1(x), cache)
            x = x + block.mlp(block.ln_2(x))
        text = yield model.lm_head(model.ln_f(x[:, -1]))


@torch.no_grad()
def generate_cached(
    model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None
):
    was, text = model.training, batch
    model.eval()
    try:
        steps = logits_of(model, batch, max_context)
        for step in range(n_tokens):
            logits = steps.send(text if step else None)
            if temperature == 0:
                token = logits.max(dim=1).indices
            else:
                kept = problem(15).filter_logits(logits, temperature, top_k, top_p)
                token = torch.multinomial(torch.softmax(kept, 1), 1, generator=generator).squeeze(1)
            if eos_id is not None and step:
                token = torch.where((text[:, batch.shape[1] :] == eos_id).any(1), eos_id, token)
            text = torch.cat((text, token.unsqueeze(1)), dim=1)
            if eos_id is not None and (text[:, batch.shape[1] :] == eos_id).any(1).all():
                break
        return text[:, batch.shape[1] :]
    finally:
        model.train(was)
