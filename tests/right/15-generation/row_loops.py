"""Python loops: the filter goes row by row through lists, the answer grows as a list of columns."""
import math

import torch

MINUS = -math.inf


def _filter_row(row, top_k, top_p):
    values = row.tolist()
    keep = set(range(len(values)))
    if top_k is not None and top_k < len(values):
        limit = sorted(values, reverse=True)[top_k - 1]
        keep = {i for i in keep if values[i] >= limit}
    if top_p is not None and top_p < 1:
        top = max(values[i] for i in keep)
        weights = {i: math.exp(values[i] - top) for i in keep}
        total = math.fsum(weights.values())
        chosen, reached = set(), 0.0
        for i in sorted(keep, key=lambda i: -weights[i]):
            if reached >= top_p:
                break
            chosen.add(i)
            reached += weights[i] / total
        keep = chosen
    mask = torch.tensor([i in keep for i in range(len(values))], device=row.device)
    return torch.where(mask, row, torch.tensor(MINUS, dtype=row.dtype, device=row.device))


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"a temperature of {temperature} does not exceed 0")
    if top_k is not None and top_k < 1:
        raise ValueError(f"top_k of {top_k} keeps less than 1 token")
    if top_p is not None and (top_p <= 0 or top_p > 1):
        raise ValueError(f"top_p of {top_p} is no probability in (0, 1]")
    scaled = logits / temperature
    return torch.stack([_filter_row(row, top_k, top_p) for row in scaled.unbind(0)])


def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    if n_tokens < 0:
        raise ValueError(f"cannot generate {n_tokens} tokens, 0 is the least")
    if max_context < 1:
        raise ValueError(f"a context of {max_context} tokens is below 1")
    if temperature < 0:
        raise ValueError(f"temperature {temperature} is below 0")
    columns, finished = [], [False] * len(batch)
    modes = {module: module.training for module in model.modules()}
    for module in modes:
        module.training = False
    try:
        for _ in range(n_tokens):
            seen = torch.cat([batch, *columns], dim=1)
            if seen.shape[1] > max_context:
                seen = seen[:, seen.shape[1] - max_context :]
            with torch.no_grad():
                logits = model(seen)[:, -1]
            filtered = filter_logits(logits, temperature or 1.0, top_k, top_p)
            tokens = []
            for r in range(len(batch)):
                if finished[r]:
                    tokens.append(eos_id)
                elif temperature == 0:
                    tokens.append(int(logits[r].argmax()))
                else:
                    tokens.append(int(torch.multinomial(filtered[r].softmax(-1), 1, generator=generator)))
                finished[r] = eos_id is not None and tokens[-1] == eos_id
            columns.append(torch.tensor(tokens, dtype=batch.dtype, device=batch.device)[:, None])
            if all(finished):
                break
    finally:
        for module, training in modes.items():
            module.training = training
    return torch.cat(columns, dim=1) if columns else batch[:, :0]


def generate_text_simple(model, batch, n_tokens, max_context):
    return generate(model, batch, n_tokens, max_context, temperature=0)
