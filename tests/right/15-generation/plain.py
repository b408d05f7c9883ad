"""Close to the road: crop, logits, filter, multinomial, append; the mode put back by hand."""

import torch


def generate_text_simple(model, batch, n_tokens, max_context):
    was_training = model.training
    model.eval()
    ids = batch
    try:
        for _ in range(n_tokens):
            with torch.no_grad():
                logits = model(ids[:, -max_context:])
            next_id = torch.softmax(logits[:, -1, :], dim=-1).argmax(dim=-1, keepdim=True)
            ids = torch.cat((ids, next_id), dim=1)
    finally:
        if was_training:
            model.train()
    return ids[:, batch.shape[1]:]


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k must be at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {top_p}")
    logits = logits / temperature
    vocab = logits.shape[-1]
    if top_k is not None and top_k < vocab:
        top, _ = torch.topk(logits, top_k)
        logits = torch.where(logits < top[:, -1].unsqueeze(-1), torch.tensor(float("-inf"), device=logits.device), logits)
    if top_p is not None:
        sorted_logits, sorted_idx = torch.sort(logits, descending=True)
        sorted_probs = torch.softmax(sorted_logits, dim=-1)
        mass_before = torch.cumsum(sorted_probs, dim=-1) - sorted_probs
        sorted_logits[mass_before >= top_p] = float("-inf")
        logits = torch.full_like(logits, float("-inf")).scatter_(1, sorted_idx, sorted_logits)
    return logits


def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    was_training = model.training
    model.eval()
    ids = batch
    finished = torch.zeros(batch.shape[0], dtype=torch.bool, device=batch.device)
    try:
        with torch.no_grad():
            for _ in range(n_tokens):
                logits = model(ids[:, -max_context:])[:, -1, :]
                if temperature == 0:
                    next_id = logits.argmax(dim=-1, keepdim=True)
                else:
                    probs = torch.softmax(filter_logits(logits, temperature, top_k, top_p), dim=-1)
                    next_id = torch.multinomial(probs, 1, generator=generator)
                if eos_id is not None:
                    next_id[finished] = eos_id
                    finished |= next_id.squeeze(1) == eos_id
                ids = torch.cat((ids, next_id), dim=1)
                if eos_id is not None and bool(finished.all()):
                    break
    finally:
        model.train(was_training)
    return ids[:, batch.shape[1]:]
