"""Every row on its own, in plain Python lists; draws by inverse CDF; padded to n_tokens after the end."""

import torch


def _next(model, text, max_context):
    window = torch.tensor([text[-max_context:]], dtype=torch.long, device=_device(model))
    return model(window)[0, -1]


def _device(model):
    return next(iter(model.parameters())).device


def generate_text_simple(model, batch, n_tokens, max_context):
    mode = model.training
    model.eval()
    result = []
    try:
        with torch.inference_mode():
            for row in batch.tolist():
                for _ in range(n_tokens):
                    row.append(int(_next(model, row, max_context).argmax()))
                result.append(row[batch.shape[1]:])
    finally:
        model.train(mode)
    return torch.tensor(result, dtype=torch.long, device=batch.device).reshape(batch.shape[0], n_tokens)


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0:
        raise ValueError(f"temperature={temperature} has to be > 0")
    if top_k is not None and top_k <= 0:
        raise ValueError(f"top_k={top_k} has to be >= 1")
    if top_p is not None and (top_p <= 0 or top_p > 1):
        raise ValueError(f"top_p={top_p} has to be in (0, 1]")
    out = logits / temperature
    for row in range(out.shape[0]):
        if top_k is not None and top_k < out.shape[1]:
            ranked = sorted(out[row].tolist(), reverse=True)
            out[row][out[row] < ranked[top_k - 1]] = float("-inf")
        if top_p is not None:
            probs = torch.exp(out[row] - out[row].max())
            probs = (probs / probs.sum()).tolist()
            total, keep = 0.0, set()
            for i in sorted(range(len(probs)), key=lambda i: -probs[i]):
                keep.add(i)
                total += probs[i]
                if total >= top_p - 1e-9:
                    break
            for i in range(len(probs)):
                if i not in keep and top_p < 1:
                    out[row, i] = float("-inf")
    return out


def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    if temperature == 0:
        top_k, top_p, temperature, greedy = None, None, 1.0, True
    else:
        greedy = False
    mode = model.training
    model.eval()
    result = []
    try:
        with torch.no_grad():
            for row in batch.tolist():
                new = []
                while len(new) < n_tokens:
                    scores = filter_logits(_next(model, row + new, max_context)[None], temperature, top_k, top_p)[0]
                    if greedy:
                        token = int(scores.argmax())
                    else:
                        cdf = torch.softmax(scores.double(), 0).cumsum(0)
                        u = torch.rand(1, generator=generator, dtype=torch.float64, device=scores.device) * cdf[-1]
                        token = int(torch.searchsorted(cdf, u, right=True).clamp(max=len(cdf) - 1))
                    new.append(token)
                    if eos_id is not None and token == eos_id:
                        new += [eos_id] * (n_tokens - len(new))
                result.append(new)
    finally:
        model.train(mode)
    return torch.tensor(result, dtype=torch.long, device=batch.device).view(len(batch), n_tokens)
