"""New tokens go into a buffer made ahead; a kept-mask decides in the filter; draws by searchsorted in float64."""
import contextlib

import torch


@contextlib.contextmanager
def _quiet(model):
    found = model.training
    with torch.no_grad(), contextlib.ExitStack() as stack:
        stack.callback(model.train, found)
        yield model.eval()


def _ask(model, row_of_ids, width):
    start = max(row_of_ids.shape[1] - width, 0)
    return model(row_of_ids[:, start:])[:, -1, :]


def generate_text_simple(model, batch, n_tokens, max_context):
    B, T = batch.shape
    text = batch.new_empty((B, T + n_tokens))
    text[:, :T] = batch
    with _quiet(model):
        for end in range(T, T + n_tokens):
            text[:, end] = _ask(model, text[:, :end], max_context).max(dim=-1).indices
    return text[:, T:].clone()


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    complaints = [
        (temperature <= 0, "temperature", temperature),
        (top_k is not None and top_k <= 0, "top_k", top_k),
        (top_p is not None and (top_p <= 0 or top_p > 1), "top_p", top_p),
    ]
    for bad, name, value in complaints:
        if bad:
            raise ValueError(f"{name} cannot be {value}")
    scaled = torch.div(logits, temperature)
    keep = torch.ones_like(scaled, dtype=torch.bool)
    if top_k is not None and top_k < scaled.shape[1]:
        keep &= scaled >= scaled.sort(dim=1, descending=True).values[:, [top_k - 1]]
    if top_p is not None and top_p != 1:
        left = torch.where(keep, scaled, float("-inf"))
        probs = torch.softmax(left.double(), dim=1)
        sorted_probs, places = torch.sort(probs, dim=1, descending=True)
        reached = sorted_probs.cumsum(1).roll(1, dims=1)
        reached[:, 0] = 0.0
        wanted = torch.empty_like(keep)
        wanted.scatter_(1, places, reached < top_p)
        keep &= wanted
    return torch.where(keep, scaled, float("-inf"))


def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    B, T = batch.shape
    text = torch.cat([batch, batch.new_full((B, n_tokens), 0 if eos_id is None else eos_id)], dim=1)
    running = torch.ones(B, dtype=torch.bool, device=batch.device)
    with _quiet(model):
        for end in range(T, T + n_tokens):
            if not bool(running.any()):
                break
            logits = _ask(model, text[:, :end], max_context)
            if temperature == 0:
                token = logits.argmax(1)
            else:
                probs = filter_logits(logits, temperature, top_k, top_p).double().softmax(1)
                sums = probs.cumsum(1)
                spot = torch.rand(B, 1, dtype=torch.float64, device=batch.device, generator=generator) * sums[:, -1:]
                token = torch.searchsorted(sums, spot, right=True).squeeze(1)
            text[:, end] = torch.where(running, token, text[:, end])
            if eos_id is not None:
                running = running & (token != eos_id)
    return text[:, T:]
