"""Helper class, a buffer for the answer, inverse transform sampling, thresholds instead of scatter."""
import torch


class Sampler:
    def __init__(self, temperature, top_k, top_p, generator):
        self.temperature, self.top_k, self.top_p, self.generator = temperature, top_k, top_p, generator
        if temperature < 0:
            raise ValueError(f"temperature {temperature} is less than 0")
        _limits(1.0, top_k, top_p)

    def __call__(self, logits):
        if self.temperature == 0:
            return torch.max(logits, dim=-1).indices
        weights = torch.softmax(filter_logits(logits, self.temperature, self.top_k, self.top_p).double(), dim=-1)
        mass = torch.cumsum(weights, dim=-1)
        place = torch.rand(mass.size(0), 1, generator=self.generator, device=mass.device, dtype=mass.dtype) * mass[:, -1:]
        token = torch.searchsorted(mass, place, right=True).squeeze(1)
        last = mass.size(1) - 1 - (weights.flip(-1) > 0).int().argmax(-1)
        return torch.minimum(token, last)


def _limits(temperature, top_k, top_p):
    problems = []
    if not temperature > 0:
        problems.append(f"temperature={temperature} has to be > 0")
    if top_k is not None and not top_k >= 1:
        problems.append(f"top_k={top_k} has to be >= 1")
    if top_p is not None and not (top_p > 0 and top_p <= 1):
        problems.append(f"top_p={top_p} has to be in (0, 1]")
    if problems:
        raise ValueError("; ".join(problems))


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    _limits(temperature, top_k, top_p)
    out = logits.clone().div_(temperature)
    if top_k is not None and top_k < out.size(-1):
        kth = torch.sort(out, dim=-1).values[:, -top_k].unsqueeze(-1)
        out = torch.where(out >= kth, out, torch.full_like(out, -torch.inf))
    if top_p is not None and top_p != 1:
        order = torch.argsort(out, dim=-1, descending=True, stable=True)
        probs = torch.gather(torch.softmax(out, -1), -1, order)
        reached = torch.cumsum(probs, -1)
        size = (reached < top_p).sum(-1, keepdim=True) + 1  # tokens in the smallest set
        place = torch.argsort(order, dim=-1)
        out = torch.where(place < size, out, torch.full_like(out, -torch.inf))
    return out


def _run(model, batch, n_tokens, max_context, choose, eos_id):
    if n_tokens < 0 or max_context < 1:
        raise ValueError(f"n_tokens={n_tokens} (at least 0) or max_context={max_context} (at least 1) is too small")
    rows, start = batch.shape
    text = batch.new_empty(rows, start + n_tokens)
    text[:, :start] = batch
    stop = start
    active = torch.ones(rows, dtype=torch.bool, device=batch.device)
    before = model.training
    model.train(False)
    try:
        with torch.no_grad():
            while stop < start + n_tokens and bool(active.any()):
                window = text[:, max(0, stop - max_context) : stop].clone()
                token = choose(model(window)[:, -1, :])
                if eos_id is not None:
                    token = torch.where(active, token, torch.full_like(token, eos_id))
                    active = active & (token != eos_id)
                text[:, stop] = token
                stop += 1
    finally:
        model.train(before)
    return text[:, start:stop].clone()


def generate_text_simple(model, batch, n_tokens, max_context):
    return _run(model, batch, n_tokens, max_context, Sampler(0, None, None, None), None)


def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    return _run(model, batch, n_tokens, max_context, Sampler(temperature, top_k, top_p, generator), eos_id)
