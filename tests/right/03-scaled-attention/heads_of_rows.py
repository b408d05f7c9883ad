"""Only the open keys of each row take part: softmax over a selection, one row at a time, put back into zeros."""

import torch


def softmax(scores, dim=-1):
    rows = scores.movedim(dim, 0)
    top = rows[0]
    for row in rows[1:]:
        top = torch.maximum(top, row)
    powers = [(row - top.detach()).exp() for row in rows]
    total = sum(powers)
    return torch.stack([p / total for p in powers]).movedim(0, dim)


def scaled_dot_product_attention(query, key, value, mask=None):
    T, S = query.shape[-2], key.shape[-2]
    lead = query.shape[:-2]
    if mask is None:
        mask = query.new_ones(S, dtype=torch.bool)
    mask = mask.broadcast_to(*lead, T, S).reshape(-1, T, S)
    q, k, v = (t.reshape(-1, *t.shape[-2:]) for t in (query, key, value))
    tables = []
    for n in range(q.shape[0]):
        rows = []
        for t in range(T):
            open_keys = mask[n, t].nonzero().flatten()
            scores = k[n, open_keys] @ q[n, t] * q.shape[-1] ** -0.5
            rows.append(scores.new_zeros(S).index_copy(0, open_keys, softmax(scores)))
        tables.append(torch.stack(rows))
    weights = torch.stack(tables)
    output = weights @ v
    return output.reshape(*lead, T, -1), weights.reshape(*lead, T, S)
