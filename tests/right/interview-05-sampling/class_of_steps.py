"""Each knob a function of its own, applied in order; the nucleus as a threshold found from the tail; own drawing by counting."""

import torch
from torch.nn.functional import softmax


def _largest(k):
    def keep(scores):
        if k < scores.shape[1]:
            limit = scores.sort(dim=1).values[:, [-k]]
            scores = torch.where(scores >= limit, scores, torch.tensor(float("-inf"), dtype=scores.dtype).to(scores.device))
        return scores

    return keep


def _nucleus(p):
    def keep(scores):
        probs = softmax(scores, dim=1)
        values, order = torch.sort(probs, dim=1, descending=True, stable=True)
        total = torch.cumsum(values, dim=1)
        wanted = torch.cat([torch.ones_like(total[:, :1], dtype=torch.bool), total[:, :-1] < p], dim=1)
        mask = torch.empty_like(wanted).scatter_(1, order, wanted)
        return scores.masked_fill(mask.logical_not(), float("-inf"))

    return keep


def _steps(temperature, top_k, top_p):
    if temperature < 0:
        raise ValueError(f"temperature={temperature} is below 0")
    if top_k is not None and top_k <= 0:
        raise ValueError(f"top_k={top_k} is below 1")
    if top_p is not None and (top_p > 1 or not top_p > 0):
        raise ValueError(f"top_p={top_p} is not in (0, 1]")
    if temperature == 0:
        first = lambda x: (x == x.amax(1, keepdim=True)).cumsum(1)  # noqa: E731
        yield lambda x: torch.where((first(x) == 1) & (x == x.amax(1, keepdim=True)), 0.0, float("-inf")).to(x.dtype)
        return
    yield lambda x: x.div(temperature)
    if top_k is not None:
        yield _largest(top_k)
    if top_p is not None and top_p != 1.0:
        yield _nucleus(top_p)


def sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    for step in _steps(temperature, top_k, top_p):
        logits = step(logits)
    return softmax(logits, dim=1)


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    drawn = []
    for row in sampling_probabilities(logits, temperature, top_k, top_p):
        (possible,) = row.nonzero(as_tuple=True)
        drawn.append(possible[torch.multinomial(row[possible], 1, generator=generator)])
    return torch.cat(drawn)


@torch.inference_mode()
def _write(model, ids, n_tokens, max_context, options):
    if n_tokens == 0:
        return ids
    token = sample(model(ids[:, -max_context:])[:, -1, :], **options)
    return _write(model, torch.column_stack((ids, token)), n_tokens - 1, max_context, options)


def generate(model, ids, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, generator=None):
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        options = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "generator": generator}
        return _write(model, ids, n_tokens, max_context, options).clone()
    finally:
        for part, mode in modes:
            part.training = mode
