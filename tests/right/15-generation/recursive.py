"""Recursion instead of a loop, one function under both; top_p by thresholds of probability, not by scatter."""
import torch


def _kept_by_mass(logits, mass):
    """The largest threshold for which the tokens at or above it reach the mass, row by row."""
    probs = logits.softmax(-1)
    ordered = probs.sort(dim=-1, descending=True).values
    needed = (ordered.cumsum(-1) < mass).sum(-1, keepdim=True).clamp(max=probs.size(-1) - 1)
    return probs >= ordered.gather(-1, needed)


def filter_logits(logits, temperature=1.0, top_k=None, top_p=None):
    if temperature <= 0.0:
        raise ValueError("temperature: " + repr(temperature))
    if top_k is not None and top_k < 1:
        raise ValueError("top_k: " + repr(top_k))
    if top_p is not None and not (0.0 < top_p <= 1.0):
        raise ValueError("top_p: " + repr(top_p))
    out = logits * (1 / temperature) if temperature != 1 else logits.clone()
    if top_k is not None:
        ranked = torch.stack([(row.unsqueeze(0) > row.unsqueeze(1)).sum(1) for row in out])  # how many are larger
        out[ranked >= top_k] = -torch.inf
    if top_p is not None and top_p < 1.0:
        out[~_kept_by_mass(out, top_p)] = -torch.inf
    return out


def _write(model, text, left, width, choose, done, eos):
    if left == 0 or bool(done.all()):
        return text
    token = choose(model(text[:, -width:]).select(1, -1))
    if eos is not None:
        token = torch.where(done, torch.full_like(token, eos), token)
        done = done.logical_or(token.eq(eos))
    return _write(model, torch.hstack([text, token]), left - 1, width, choose, done, eos)


def _run(model, batch, n_tokens, max_context, choose, eos=None):
    mode = model.training
    try:
        model.train(False)
        with torch.inference_mode(False), torch.no_grad():
            nobody = torch.zeros_like(batch[:, :1]).bool()
            return _write(model, batch, n_tokens, max_context, choose, nobody, eos)[:, batch.shape[1] :]
    finally:
        model.train(mode)


def _best(logits):
    return logits.topk(1, dim=-1).indices


def generate_text_simple(model, batch, n_tokens, max_context):
    return _run(model, batch, n_tokens, max_context, _best)


def generate(model, batch, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, eos_id=None, generator=None):
    def draw(logits):
        shaped = filter_logits(logits, temperature=temperature, top_k=top_k, top_p=top_p)
        return shaped.softmax(-1).multinomial(1, generator=generator)

    return _run(model, batch, n_tokens, max_context, _best if temperature == 0 else draw, eos_id)
