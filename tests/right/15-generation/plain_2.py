"""Generation, plain version."""
import contextlib

import torch


@contextlib.contextmanager
def evaluation_mode(model):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def check(n_tokens, max_context):
    if n_tokens < 0:
        raise ValueError(f"n_tokens is {n_tokens}, but must be at least 0")
    if max_context < 1:
        raise ValueError(f"max_context is {max_context}, but must be at least 1")


@torch.no_grad()
def generate_text_simple(model, batch, n_tokens, max_context):
    check(n_tokens, max_context)
    prompt_length = batch.shape[1]
    with evaluation_mode(model):
        for _ in range(n_tokens):
            logits = model(batch[:, -max_context:])
            batch = torch.cat([batch, logits[:, -1].argmax(dim=-1, keepdim=True)], dim=1)
    return batch[:, prompt_length:]


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}, but must be above 0")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k is {top_k}, but must be at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}, but must be above 0 and at most 1")
    logits = logits / temperature
    if top_k is not None:
        k = min(top_k, logits.shape[-1])
        kth = logits.topk(k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < kth, float("-inf"))
    if top_p is not None and top_p < 1:
        ordered, index = logits.sort(dim=-1, descending=True)
        cumulative = ordered.softmax(dim=-1).cumsum(dim=-1)
        remove = cumulative >= top_p
        remove = torch.cat([torch.zeros_like(remove[:, :1]), remove[:, :-1]], dim=-1)
        remove = torch.zeros_like(remove).scatter(-1, index, remove)
        logits = logits.masked_fill(remove, float("-inf"))
    return logits


@torch.no_grad()
def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    check(n_tokens, max_context)
    prompt_length = batch.shape[1]
    ended = torch.zeros(batch.shape[0], 1, dtype=torch.bool, device=batch.device)
    with evaluation_mode(model):
        for _ in range(n_tokens):
            logits = model(batch[:, -max_context:])[:, -1]
            if temperature == 0:
                filter_logits(logits, 1.0, top_k, top_p)  # for its errors
                token = logits.argmax(dim=-1, keepdim=True)
            else:
                probabilities = filter_logits(logits, temperature, top_k, top_p).softmax(dim=-1)
                token = torch.multinomial(probabilities, 1, generator=generator)
            if eos_id is not None:
                token = token.masked_fill(ended, eos_id)
                ended = ended | (token == eos_id)
            batch = torch.cat([batch, token], dim=1)
            if ended.all():
                break
    return batch[:, prompt_length:]
