"""Acceptance by logarithms, the residual by where, the added token by an exponential race."""

import torch


def race(weights, generator):
    """One index for each row, as often as its weight says."""
    noise = torch.empty_like(weights).exponential_(generator=generator)
    return (weights / noise).argmax(-1)


def residual(p, q):
    d = torch.where(p > q, p - q, torch.zeros_like(p))
    s = d.sum(-1, keepdim=True)
    empty = s == 0
    return torch.where(empty, p, d / s.masked_fill(empty, 1))


def verify(p, q, drafted, generator=None):
    batch, k = drafted.shape
    if p.shape[1] - k != 1:
        raise ValueError(f"{p.shape[1]} rows of p for {k} tokens")
    row = torch.arange(batch, device=p.device)
    alive = torch.ones(batch, dtype=torch.bool, device=p.device)
    counts = torch.ones(batch, dtype=torch.int64, device=p.device)
    tokens = torch.full((batch, k + 1), -1, device=p.device, dtype=torch.int64)
    for j in range(k):
        x = drafted[:, j]
        threshold = p[row, j, x].log() - q[row, j, x].log()
        u = torch.rand(batch, generator=generator, device=p.device, dtype=p.dtype)
        good = u.log() < threshold
        replacement = race(residual(p[:, j], q[:, j]), generator)
        tokens[:, j] = torch.where(alive, torch.where(good, x, replacement), tokens[:, j])
        alive = alive & good
        counts += alive
    tokens[:, k] = torch.where(alive, race(p[:, k], generator), tokens[:, k])
    return tokens, counts


def generate(target, draft, ids, n_tokens, k, generator=None):
    if not k > 0:
        raise ValueError(f"k is {k}")
    if tuple(ids.shape)[:1] != (1,) or ids.dim() != 2:
        raise ValueError(f"one text, please: {tuple(ids.shape)}")
    left = n_tokens
    with torch.no_grad():
        while left > 0:
            before = ids.shape[1]
            seen, probs = ids, []
            for _ in range(min(k, left - 1)):
                probs.append(torch.softmax(draft(seen)[:, -1], -1))
                seen = torch.cat((seen, race(probs[-1], generator)[:, None]), 1)
            p = torch.softmax(target(seen), -1)[:, before - 1 :]
            q = torch.stack(probs, 1) if probs else p.new_zeros(1, 0, p.shape[-1])
            tokens, counts = verify(p, q, seen[:, before:], generator)
            ids = torch.cat((ids, tokens[:, : int(counts)]), 1)
            left -= int(counts)
    return ids
