"""A sampler function handed to one shared loop; Gumbel-max draws; the window kept apart from the result."""

from contextlib import contextmanager

import torch


class _Eval:
    def __init__(self, model):
        self.model, self.was = model, model.training

    def __enter__(self):
        self.model.eval()
        return self.model

    def __exit__(self, *error):
        self.model.train(self.was)
        return False


def _loop(model, batch, n_tokens, max_context, choose, eos_id=None):
    new = batch.new_empty((batch.shape[0], n_tokens))
    window = batch[:, -max_context:].clone()
    alive = torch.full((batch.shape[0],), True, device=batch.device)
    with _Eval(model), torch.no_grad():
        for step in range(n_tokens):
            token = choose(model(window)[:, -1, :])
            if eos_id is not None:
                token = torch.where(alive, token, torch.full_like(token, eos_id))
                alive = alive & (token != eos_id)
            new[:, step] = token
            window = torch.hstack((window, token.unsqueeze(1)))[:, -max_context:]
            if not alive.any():
                new = new[:, : step + 1]
                break
    return new


def generate_text_simple(model, batch, n_tokens, max_context):
    return _loop(model, batch, n_tokens, max_context, lambda logits: logits.max(dim=1).indices)


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if not (temperature > 0):
        raise ValueError("need temperature > 0, got %r" % (temperature,))
    if top_k is not None and top_k < 1:
        raise ValueError("need top_k >= 1, got %r" % (top_k,))
    if top_p is not None and not (0.0 < top_p <= 1.0):
        raise ValueError("need 0 < top_p <= 1, got %r" % (top_p,))
    scores = logits.div(temperature)
    low = scores.new_full((), float("-inf"))
    if top_k is not None:
        ranked = scores.sort(dim=1, descending=True).values
        scores = torch.where(scores >= ranked[:, min(top_k, ranked.shape[1]) - 1, None], scores, low)
    if top_p is not None:
        values, places = torch.sort(scores, dim=1, descending=True, stable=True)
        total = values.softmax(1).cumsum(1)
        drop = total > top_p
        drop[:, 1:] = drop[:, :-1].clone()
        drop[:, 0] = False
        values = values.masked_fill(drop, float("-inf"))
        scores = values.gather(1, places.argsort(dim=1))
    return scores


def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    def choose(logits):
        if temperature == 0:
            return logits.argmax(1)
        scores = filter_logits(logits, temperature, top_k, top_p)
        noise = torch.rand(scores.shape, generator=generator, device=scores.device).clamp_min(1e-20)
        return (scores - torch.log(-torch.log(noise))).argmax(1)

    return _loop(model, batch, n_tokens, max_context, choose, eos_id)
