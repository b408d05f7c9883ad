"""The mask of sorted tokens shifted by one and carried back by argsort; exponential race; top_k in the sorted order."""

import torch


def sampling_probabilities(logits, temperature=1.0, top_k=None, top_p=None):
    for name, value, good in (
        ("temperature", temperature, temperature >= 0),
        ("top_k", top_k, top_k is None or top_k > 0),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1),
    ):
        if not good:
            raise ValueError(f"{name} = {value}")
    if temperature == 0.0:
        first = (logits == logits.max(-1, keepdim=True).values).int().argmax(-1)
        return torch.eye(logits.shape[-1], device=logits.device)[first]
    scores = logits.clone().div_(temperature)
    ordered, order = torch.sort(scores, descending=True, dim=-1)
    if top_k is not None and top_k < ordered.shape[-1]:
        ordered[ordered < ordered[:, top_k - 1 : top_k]] = -float("inf")
    if top_p is not None and top_p < 1.0:
        mass = torch.cumsum(torch.softmax(ordered, -1), -1)
        remove = mass >= top_p
        remove[:, 1:] = remove[:, :-1].clone()
        remove[:, 0] = False
        ordered[remove] = -float("inf")
    return torch.softmax(torch.gather(ordered, -1, order.argsort(-1)), -1)


def sample(logits, temperature=1.0, top_k=None, top_p=None, generator=None):
    probs = sampling_probabilities(logits, temperature, top_k, top_p)
    return torch.argmax(probs / torch.empty_like(probs).exponential_(1.0, generator=generator), dim=-1)


def generate(model, ids, n_tokens, max_context, temperature=1.0, top_k=None, top_p=None, generator=None):
    before = model.training
    grad = torch.is_grad_enabled()
    model.eval()
    torch.set_grad_enabled(False)
    tokens = [column for column in ids.unbind(1)]
    for _ in range(n_tokens):
        context = torch.stack(tokens[-max_context:], dim=1)
        tokens.append(sample(model(context)[:, -1], temperature, top_k, top_p, generator))
    torch.set_grad_enabled(grad)
    model.train(before)
    return torch.stack(tokens, dim=1)
