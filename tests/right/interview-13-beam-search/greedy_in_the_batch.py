"""Greedy's way goes along as one more row of the same batch, so the model is called once in each step."""

import torch


@torch.no_grad()
def beam_search(model, ids, n_tokens, beam_size, eos=None, alpha=0.0):
    if beam_size < 1:
        raise ValueError(f"beam_size is {beam_size}")
    if min(n_tokens, alpha) < 0:
        raise ValueError(f"below 0: {n_tokens} tokens, or an alpha of {alpha}")
    beam = ids.unsqueeze(0)
    sums = ids.new_zeros(1, dtype=torch.float64)
    greedy, greedy_sum, greedy_score = ids, 0.0, None
    scores, texts = [], []
    for n in range(1, n_tokens + 1):
        rows = list(beam) + ([greedy] if greedy_score is None else [])
        if not rows:
            break
        logs = model(torch.stack(rows))[:, -1].double().log_softmax(-1)
        if greedy_score is None:
            token = logs[-1].argmax()
            greedy_sum += logs[-1, token].item()
            greedy = torch.cat([greedy, token.view(1)])
            if n == n_tokens or token.item() == eos:
                greedy_score = greedy_sum / n**alpha
        if len(beam) == 0:
            continue
        V = logs.size(1)
        table = (sums.unsqueeze(1) + logs[: len(beam)]).reshape(-1)
        order = torch.argsort(table, descending=True, stable=True)[:beam_size]
        beam = torch.cat((beam[order.div(V, rounding_mode="floor")], (order % V).unsqueeze(1)), 1)
        sums = table[order]
        going = torch.ones_like(sums, dtype=torch.bool)
        if eos is not None:
            going = beam[:, -1].ne(eos)
        if n == n_tokens:
            going = torch.zeros_like(going)
        for i in (~going).nonzero().flatten().tolist():
            scores.append(sums[i].item() / n**alpha)
            texts.append(beam[i])
        beam, sums = beam[going], sums[going]
    if n_tokens == 0:
        return ids.clone(), 0.0
    scores.append(greedy_score)
    texts.append(greedy)
    best = scores.index(max(scores))
    return texts[best], scores[best]
