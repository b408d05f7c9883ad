"""An exponential race for the draws; the nucleus by comparing every token with every other; no sort, and lists of columns."""

import torch


def sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    for name, value, fits in (
        ("temperature", temperature, temperature >= 0),
        ("top_k", top_k, top_k is None or top_k >= 1),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1),
    ):
        if not fits:
            raise ValueError(f"{name}={value}")
    V = logits.size(-1)
    if temperature == 0:
        return (torch.arange(V, device=logits.device) == logits.argmax(-1, keepdim=True)).float()
    z = (logits - logits.amax(-1, keepdim=True)).double() / temperature
    if top_k is not None:
        larger = (z.unsqueeze(-2) > z.unsqueeze(-1)).sum(-1)  # how many tokens are more likely
        z = torch.where(larger < top_k, z, -torch.inf)
    p = z.exp() / z.exp().sum(-1, keepdim=True)
    if top_p is not None and top_p < 1:
        place = torch.arange(V, device=p.device)
        a, b = p.unsqueeze(-1), p.unsqueeze(-2)
        ahead = (b > a) | ((b == a) & (place < place.unsqueeze(-1)))  # (B, V, V)
        before = (ahead * b).sum(-1)
        p = p * (before < top_p - 1e-9)
        p = p / p.sum(-1, keepdim=True)
    return p.float()


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    p = sampling_probabilities(logits, temperature, top_k, top_p)
    times = torch.empty_like(p).exponential_(generator=generator) / p
    return times.argmin(-1)


def generate(model, ids, n_tokens, max_context, *options, **named):
    before = model.training
    model.eval()
    columns = list(ids.unbind(1))
    with torch.no_grad():
        for _ in range(n_tokens):
            seen = torch.stack(columns[-max_context:], dim=1)
            columns.append(sample(model(seen).select(1, -1), *options, **named))
    model.train(before)
    return torch.stack(columns, dim=1)
