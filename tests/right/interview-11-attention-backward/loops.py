"""One query after the other, its contributions added up; written for two axes and mapped over the rest."""

import torch


def _each(function, *tensors):
    """Map a function of matrices over all leading axes."""
    lead = tensors[0].shape[:-2]
    flat = [x.reshape(-1, *x.shape[-2:]) for x in tensors]
    results = [function(*xs) for xs in zip(*flat)]
    return tuple(torch.stack(r).reshape(*lead, *r[0].shape) for r in zip(*results))


def attention_forward(q, k, v, causal=True):
    if causal and q.size(-2) != k.size(-2):
        raise ValueError(f"lengths {q.size(-2)} and {k.size(-2)}")

    def single(q, k, v):
        rows = []
        for t in range(len(q)):
            seen = t + 1 if causal else len(k)
            row = q.new_zeros(len(k))
            row[:seen] = torch.softmax(k[:seen] @ q[t] / q.size(-1) ** 0.5, 0)
            rows.append(row)
        weights = torch.stack(rows)
        return weights @ v, weights

    return _each(single, q, k, v)


def softmax_backward(grad_weights, weights):
    flat_g, flat_w = grad_weights.reshape(-1, weights.size(-1)), weights.reshape(-1, weights.size(-1))
    rows = [w * (g - torch.dot(g, w)) for g, w in zip(flat_g, flat_w)]
    return torch.stack(rows).reshape(weights.shape)


def attention_backward(grad_out, q, k, v, weights):
    def single(grad_out, q, k, v, weights):
        grad_q, grad_k, grad_v = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
        for t in range(len(q)):
            grad_v += torch.outer(weights[t], grad_out[t])
            ds = softmax_backward(v @ grad_out[t], weights[t]) / q.size(-1) ** 0.5
            grad_q[t] = ds @ k
            grad_k += torch.outer(ds, q[t])
        return grad_q, grad_k, grad_v

    return _each(single, grad_out, q, k, v, weights)
