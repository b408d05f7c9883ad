"""Inverse CDF; a nucleus by a threshold on the probability; a buffer that is filled in; the mode of each module restored."""

import torch
from torch import nn


def _check(temperature, top_k, top_p):
    problems = []
    if temperature < 0:
        problems.append(f"temperature={temperature}")
    if top_k is not None and top_k <= 0:
        problems.append(f"top_k={top_k}")
    if top_p is not None and not (0.0 < top_p <= 1.0):
        problems.append(f"top_p={top_p}")
    if problems:
        raise ValueError("not allowed: " + ", ".join(problems))


def sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    _check(temperature, top_k, top_p)
    if temperature == 0:
        return torch.zeros_like(logits).scatter_(1, logits.argmax(1, keepdim=True), 1.0)
    scaled = logits / temperature
    V = scaled.size(1)
    keep = torch.ones_like(scaled, dtype=torch.bool)
    if top_k is not None:
        kth = scaled.kthvalue(V - min(top_k, V) + 1, dim=1, keepdim=True).values
        keep &= scaled >= kth
    exps = torch.exp(scaled - scaled.max(dim=1, keepdim=True).values) * keep
    probs = exps / exps.sum(1, keepdim=True)
    if top_p is not None and top_p < 1.0:
        descending = probs.sort(dim=1, descending=True).values
        count = (descending.cumsum(1) < top_p).sum(1, keepdim=True).clamp(max=V - 1)
        smallest = descending.gather(1, count)
        probs = probs * (probs >= smallest)
        probs /= probs.sum(1, keepdim=True)
    return probs


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    probs = sampling_probabilities(logits, temperature, top_k, top_p)
    cdf = probs.double().cumsum(dim=1)
    u = torch.rand(len(probs), 1, generator=generator, dtype=torch.float64, device=probs.device) * cdf[:, -1:]
    ids = torch.searchsorted(cdf, u, right=True)[:, 0]
    last = probs.size(1) - 1 - (probs > 0).flip(1).int().argmax(1)
    return torch.minimum(ids, last).long()


def generate(model: nn.Module, ids, n_tokens, max_context, **options):
    B, T = ids.shape
    text = torch.empty(B, T + n_tokens, dtype=ids.dtype, device=ids.device)
    text[:, :T] = ids
    modes = {m: m.training for m in model.modules()}
    model.eval()
    with torch.no_grad():
        for end in range(T, T + n_tokens):
            logits = model(text[:, max(0, end - max_context) : end])
            text[:, end] = sample(logits[:, -1], **options)
    for module, mode in modes.items():
        module.training = mode
    return text
