"""Rows that have ended leave the batch, the result is filled beforehand; the nucleus by a threshold on probabilities."""

import functools

import torch
import torch.nn.functional as F


def quietly(function):
    @functools.wraps(function)
    def wrapper(model, *args, **kwargs):
        before = model.training
        try:
            with torch.no_grad():
                return function(model.eval(), *args, **kwargs)
        finally:
            model.train(before)

    return wrapper


@quietly
def generate_text_simple(model, batch, n_tokens, max_context):
    total = batch.shape[1] + n_tokens
    text = F.pad(batch, (0, n_tokens))
    for end in range(batch.shape[1], total):
        text[:, end] = model(text[:, max(end - max_context, 0):end])[:, -1].argmax(-1)
    return text[:, batch.shape[1]:]


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if not temperature > 0:
        raise ValueError(f"temperature {temperature} is not above 0")
    if not (top_k is None or top_k >= 1):
        raise ValueError(f"top_k {top_k} is below 1")
    if not (top_p is None or 0 < top_p <= 1):
        raise ValueError(f"top_p {top_p} is not in (0, 1]")
    x = logits / temperature
    if top_k is not None and top_k < x.shape[1]:
        x = x.masked_fill(x < x.topk(top_k, dim=1, sorted=True).values.amin(1, keepdim=True), -torch.inf)
    if top_p is not None:
        p = x.softmax(1)
        # What is more likely than each token, summed: (B, V, V) comparisons instead of a sort.
        more = torch.einsum("bij,bj->bi", (p[:, None, :] > p[:, :, None]).to(p.dtype), p)
        x = x.masked_fill(more >= top_p, -torch.inf)
    return x


@quietly
def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    out = torch.full((batch.shape[0], n_tokens), 0 if eos_id is None else eos_id, dtype=torch.long, device=batch.device)
    alive = torch.arange(batch.shape[0], device=batch.device)
    text = batch
    for step in range(n_tokens):
        if len(alive) == 0:
            break
        logits = model(text[:, -max_context:])[:, -1]
        if temperature == 0:
            ids = logits.argmax(1)
        else:
            ids = torch.distributions.Categorical(logits=filter_logits(logits, temperature, top_k, top_p)).probs.multinomial(1, generator=generator)[:, 0]
        out[alive, step] = ids
        text = torch.cat([text, ids[:, None]], 1)
        if eos_id is not None:
            on = ids != eos_id
            alive, text = alive[on], text[on]
    return out
