"""generate has a loop of its own for one text, with plain numbers, and does not call verify."""

import random

import torch


def residual(p, q):
    positive = torch.relu(p - q)
    norm = torch.sum(positive, dim=-1, keepdim=True)
    result = positive / torch.where(norm == 0, torch.ones_like(norm), norm)
    return result + (norm == 0) * p


def verify(p, q, drafted, generator=None):
    n_texts, k = drafted.size()
    if p.size(1) != k + 1:
        raise ValueError("p needs k + 1 places")
    index = drafted[..., None]
    ratio = p[:, :-1].gather(2, index) / q.gather(2, index)
    luck = torch.rand(ratio.shape, generator=generator, device=p.device, dtype=ratio.dtype)
    failed = (luck >= ratio)[..., 0]
    failed = torch.cat([failed, torch.ones_like(failed[:, :1]) if k else failed.new_ones(n_texts, 1)], dim=1)
    stop = failed.int().argmax(dim=1)  # the first True
    every = torch.cat([residual(p[:, :-1], q), p[:, -1:]], dim=1)
    chosen = every[torch.arange(n_texts, device=p.device), stop]
    cumulative = chosen.cumsum(-1)
    u = torch.rand((n_texts, 1), generator=generator, device=p.device, dtype=p.dtype) * cumulative[:, -1:]
    new = (cumulative <= u).sum(-1).clamp(max=p.size(2) - 1)
    tokens = []
    for j in range(k + 1):
        column = drafted[:, j] if j < k else torch.full_like(new, -1)
        column = torch.where(stop > j, column, torch.where(stop == j, new, -1))
        tokens.append(column)
    return torch.stack(tokens, dim=1), stop + 1


@torch.no_grad()
def generate(target, draft, ids, n_tokens, k, generator=None):
    if k <= 0:
        raise ValueError("k = %d" % k)
    if ids.ndim != 2 or ids.shape[0] != 1:
        raise ValueError(f"shape {tuple(ids.shape)} is not (1, T)")

    def uniform():
        return torch.rand((), generator=generator).item() if generator else random.random()

    def pick(probs):
        probs = probs.double()
        return int((probs.cumsum(0) <= uniform() * probs.sum()).sum().clamp(max=len(probs) - 1))

    def as_ids(tokens):
        return torch.tensor([tokens], dtype=ids.dtype, device=ids.device)

    text = ids[0].tolist()
    length = len(text) + n_tokens
    while len(text) < length:
        start, guess, qs = len(text), [], []
        while len(guess) < k and start + len(guess) + 1 < length:
            qs.append(draft(as_ids(text + guess))[0, -1].softmax(0))
            guess.append(pick(qs[-1]))
        ps = target(as_ids(text + guess))[0, start - 1 :].softmax(-1)
        for j, token in enumerate(guess):
            if uniform() * qs[j][token] < ps[j][token]:
                text.append(token)
                continue
            text.append(pick(residual(ps[j], qs[j])))
            break
        else:
            text.append(pick(ps[-1]))
    return as_ids(text)
