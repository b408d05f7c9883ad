"""One row at a time in Python: lists for the ranking, Python's random seeded from the generator; recursion instead of a loop."""

import math
import random

import torch


def sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature < 0:
        raise ValueError(f"{temperature} is no temperature")
    if top_k is not None and top_k < 1:
        raise ValueError(f"cannot keep {top_k} tokens")
    if top_p is not None and top_p <= 0 or top_p is not None and top_p > 1:
        raise ValueError(f"{top_p} is not a probability to reach")
    return torch.tensor([_row(row, temperature, top_k, top_p) for row in logits.tolist()], device=logits.device)


def _row(row, temperature, top_k, top_p):
    V = len(row)
    if temperature == 0:
        best = row.index(max(row))
        return [float(i == best) for i in range(V)]
    row = [x / temperature for x in row]
    if top_k is not None:
        limit = sorted(row, reverse=True)[min(top_k, V) - 1]
        row = [x if x >= limit else -math.inf for x in row]
    top = max(row)
    weights = [math.exp(x - top) for x in row]
    total = math.fsum(weights)
    probs = [w / total for w in weights]
    if top_p is None or top_p == 1:
        return probs
    kept, mass = set(), 0.0
    for i in sorted(range(V), key=probs.__getitem__, reverse=True):
        if mass >= top_p:
            break
        kept.add(i)
        mass += probs[i]
    return [p / mass if i in kept else 0.0 for i, p in enumerate(probs)]


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    device = generator.device if generator is not None else "cpu"
    numbers = random.Random(int(torch.randint(2**62, (1,), generator=generator, device=device)))
    rows = sampling_probabilities(logits, temperature, top_k, top_p).tolist()
    return torch.tensor([numbers.choices(range(len(p)), p)[0] for p in rows], device=logits.device)


def generate(model, ids, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, generator=None):
    training = model.training
    model.train(False)
    text = _continue(model, ids.clone(), n_tokens, max_context, (temperature, top_k, top_p, generator))
    if training:
        model.train()
    return text


@torch.inference_mode()
def _continue(model, ids, n_tokens, max_context, options):
    if n_tokens == 0:
        return ids
    new = sample(model(ids[:, -max_context:])[:, -1], *options)
    return _continue(model, torch.cat((ids, new.view(-1, 1)), dim=-1), n_tokens - 1, max_context, options)
