"""All replacements are drawn beforehand, at every place, and the right one is selected; a recursive generate."""

import torch
from torch import Tensor


def residual(p: Tensor, q: Tensor) -> Tensor:
    excess = torch.maximum(p, q) - q
    total = excess.sum(-1, keepdim=True)
    return torch.nan_to_num(excess / total).where(total > 0, p)


def verify(p, q, drafted, generator=None):
    b, k = drafted.shape
    v = p.shape[-1]
    if p.shape != (b, k + 1, v):
        raise ValueError(f"p of shape {tuple(p.shape)} for drafted tokens of shape {tuple(drafted.shape)}")
    options = residual(p, torch.cat([q, torch.zeros_like(p[:, :1])], dim=1))
    fresh = torch.multinomial(options.reshape(-1, v), 1, generator=generator).reshape(b, k + 1)
    one_hot = torch.nn.functional.one_hot(drafted, v).to(p.dtype)
    chance = ((p[:, :k] * one_hot).sum(-1) / (q * one_hot).sum(-1)).clamp(max=1)
    ok = torch.bernoulli(chance, generator=generator).bool()
    run = torch.cat([ok, torch.zeros_like(ok[:, :1]) if k else ok.new_zeros(b, 1)], 1).cummin(dim=1).values
    counts = run.sum(1) + 1
    padded = torch.cat([drafted, fresh[:, -1:]], dim=1)
    position = torch.arange(k + 1, device=p.device).expand(b, -1)
    tokens = torch.where(run, padded, fresh)
    return torch.where(position < counts[:, None], tokens, -1), counts


def generate(target, draft, ids, n_tokens, k, generator=None):
    match list(ids.shape):
        case [1, _]:
            pass
        case _:
            raise ValueError(f"ids are {tuple(ids.shape)}, not one text")
    if k < 1:
        raise ValueError(f"need a draft of one token or more, k={k}")
    return _continue(target, draft, ids, n_tokens, k, generator)


def _continue(target, draft, ids, n_tokens, k, generator):
    if n_tokens == 0:
        return ids
    k_now = min(k, n_tokens - 1)
    with torch.no_grad():
        text, q = _draft(draft, ids, k_now, generator)
        p = target(text)[:, -k_now - 1 :].softmax(-1)
        q = p[:, :0] if q is None else q
        tokens, counts = verify(p, q, text[:, ids.shape[1] :], generator)
    n = int(counts[0])
    return _continue(target, draft, torch.cat([ids, tokens[:, :n]], 1), n_tokens - n, k, generator)


def _draft(draft, text, k, generator):
    found = None
    for _ in range(k):
        q = draft(text)[:, -1:].softmax(-1)
        found = q if found is None else torch.cat([found, q], 1)
        text = torch.cat([text, torch.multinomial(q[:, 0], 1, generator=generator)], 1)
    return text, found
