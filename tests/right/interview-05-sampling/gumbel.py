"""Gumbel-max draws, a threshold found by sorting, the nucleus found by a loop over rows, try and finally."""

import torch


def sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    if not temperature >= 0:
        raise ValueError(f"bad temperature: {temperature!r}")
    if top_k is not None and not top_k >= 1:
        raise ValueError(f"bad top_k: {top_k!r}")
    if top_p is not None and (top_p <= 0 or top_p > 1):
        raise ValueError(f"bad top_p: {top_p!r}")
    B, V = logits.shape
    if temperature == 0:
        probs = torch.zeros_like(logits)
        probs[torch.arange(B, device=logits.device), logits.argmax(1)] = 1
        return probs
    x = logits.double() / temperature
    if top_k is not None and top_k < V:
        threshold = torch.sort(x, dim=1, descending=True)[0][:, top_k - 1].unsqueeze(1)
        x = torch.where(x < threshold, torch.full_like(x, float("-inf")), x)
    probs = torch.softmax(x, dim=1)
    if top_p is not None and top_p != 1:
        out = torch.zeros_like(probs)
        for b in range(B):
            total = 0.0
            for i in probs[b].argsort(descending=True).tolist():
                out[b, i] = probs[b, i]
                total += float(probs[b, i])
                if total >= top_p:
                    break
        probs = out / out.sum(1, keepdim=True)
    return probs.to(logits.dtype)


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    probs = sampling_probabilities(logits, temperature, top_k, top_p)
    if temperature == 0:
        return probs.argmax(dim=1)
    uniform = torch.rand(probs.shape, generator=generator, device=probs.device, dtype=torch.float64)
    gumbel = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
    return (probs.double().log() + gumbel).argmax(dim=1)


def generate(model, ids, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, generator=None):
    mode = model.training
    model.eval()
    try:
        with torch.inference_mode():
            out = ids.clone()
            while out.shape[1] < ids.shape[1] + n_tokens:
                start = max(0, out.shape[1] - max_context)
                logits = model(out[:, start:])
                token = sample(logits[:, -1, :], temperature, top_k, top_p, generator)
                out = torch.hstack([out, token[:, None]])
    finally:
        model.train(mode)
    return out
