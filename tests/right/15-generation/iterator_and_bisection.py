"""An endless iterator of tokens; top_k by ranks, top_p by bisection of a threshold, draws by inverse CDF."""

from itertools import islice

import torch


def _mode(model, on):
    for m in [model]:
        m.train(on)


def _tokens(model, text, limit, pick):
    while True:
        token = pick(model(text[..., -limit:]).select(1, -1))
        yield token
        text = torch.column_stack([text, token])


def generate_text_simple(model, batch, n_tokens, max_context):
    t = model.training
    model.train(False)
    try:
        with torch.no_grad():
            new = list(islice(_tokens(model, batch, max_context, lambda l: l.argmax(-1)), n_tokens))
    finally:
        model.train(t)
    return (
        torch.stack(new, -1) if new else torch.empty(batch.size(0), 0, dtype=batch.dtype, device=batch.device)
    )


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature > 0 please: {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k >= 1 please: {top_k}")
    if top_p is not None and not (0 < top_p <= 1):
        raise ValueError(f"0 < top_p <= 1 please: {top_p}")
    z = logits.double() / temperature
    if top_k is not None:
        rank = (z[:, None, :] > z[:, :, None]).sum(-1)  # how many are larger
        z = torch.where(rank < top_k, z, -torch.inf)
    if top_p is not None:
        p = torch.exp(z - torch.logsumexp(z, -1, keepdim=True))
        lo = torch.zeros_like(p[:, :1])
        hi = torch.ones_like(lo)
        for _ in range(60):  # bisect the largest threshold whose set still reaches p
            mid = (lo + hi) / 2
            ok = torch.where(p >= mid, p, 0.0).sum(-1, keepdim=True) >= top_p - 1e-12
            lo, hi = torch.where(ok, mid, lo), torch.where(ok, hi, mid)
        z = torch.where(p >= lo, z, -torch.inf)
    return z.to(logits.dtype)


def generate(
    model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None
):
    over = [False] * batch.size(0)

    def pick(l):
        if not temperature:
            tok = l.argmax(-1)
        else:
            p = filter_logits(l, temperature, top_k, top_p).softmax(-1).cumsum(-1)
            u = torch.rand(len(p), 1, generator=generator, device=p.device) * p[:, -1:]
            tok = torch.searchsorted(p, u, right=True).squeeze(1).clamp(max=p.size(1) - 1)
        if eos_id is not None:
            ids = [eos_id if o else i for o, i in zip(over, tok.tolist())]
            over[:] = [o or i == eos_id for o, i in zip(over, ids)]
            tok = torch.tensor(ids, device=batch.device)
        return tok

    t = model.training
    model.train(False)
    try:
        with torch.no_grad():
            new = []
            for token in _tokens(model, batch, max_context, pick) if n_tokens else ():
                new.append(token)
                if len(new) == n_tokens or all(over):
                    break
    finally:
        model.train(t)
    return torch.stack(new, 1) if new else batch[:, :0]
