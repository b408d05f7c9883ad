"""Greedy is a case of generate; HF-style ascending nucleus; the exponential race as a draw; flags in Python."""

import torch


def generate_text_simple(model, batch, n_tokens, max_context):
    return generate(model, batch, n_tokens, max_context, temperature=0.0)


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    for name, value, fine in (("temperature", temperature, temperature > 0), ("top_k", top_k, top_k is None or top_k >= 1), ("top_p", top_p, top_p is None or 0 < top_p <= 1)):
        if not fine:
            raise ValueError(f"{name} out of range: {value}")
    result = logits.clone() * (1.0 / temperature)
    if top_k is not None:
        k = min(int(top_k), result.size(-1))
        kth = result.kthvalue(result.size(-1) - k + 1, dim=-1, keepdim=True).values
        result[result < kth] = -torch.inf
    if top_p is not None:
        ascending, where = torch.sort(result, descending=False)
        gone = ascending.softmax(dim=-1).cumsum(dim=-1) <= 1 - top_p
        gone[..., -1:] = False
        result = result.masked_fill(gone.scatter(1, where, gone), -torch.inf)
    return result


@torch.inference_mode()
def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    training = model.training
    model.eval()
    try:
        columns, text, done = [], batch, [False] * len(batch)
        for _ in range(n_tokens):
            if all(done) and eos_id is not None:
                columns.append(torch.full_like(batch[:, :1], eos_id))
                continue
            logits = model(text[:, max(0, text.size(1) - max_context):])[:, -1]
            if temperature == 0:
                token = torch.topk(logits, 1).indices
            else:
                p = filter_logits(logits, temperature, top_k, top_p).softmax(-1)
                race = torch.empty_like(p).exponential_(generator=generator)
                token = (p / race).argmax(-1, keepdim=True)
            if eos_id is not None:
                for row, over in enumerate(done):
                    if over:
                        token[row] = eos_id
                    done[row] = over or int(token[row]) == eos_id
            columns.append(token)
            text = torch.cat((text, token), 1)
        return torch.cat(columns, 1) if columns else batch[:, :0]
    finally:
        model.train(training)
