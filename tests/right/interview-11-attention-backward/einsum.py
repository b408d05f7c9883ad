"""einsum throughout; the softmax by exp and a sum; a mask by comparing positions."""

import torch


def attention_forward(q, k, v, causal=True):
    T, S, D = q.shape[-2], k.shape[-2], q.shape[-1]
    if causal and T != S:
        raise ValueError(f"T={T} S={S}")
    scores = torch.einsum("...td,...sd->...ts", q, k) * D**-0.5
    if causal:
        position = torch.arange(T, device=q.device)
        scores = torch.where(position[:, None] >= position, scores, float("-inf"))
    exps = (scores - scores.max(-1, keepdim=True).values).exp()
    weights = exps / exps.sum(-1, keepdim=True)
    return torch.einsum("...ts,...se->...te", weights, v), weights


def softmax_backward(grad_weights, weights):
    return weights * grad_weights - weights * torch.einsum("...s,...s->...", weights, grad_weights)[..., None]


def attention_backward(grad_out, q, k, v, weights):
    grad_v = torch.einsum("...ts,...te->...se", weights, grad_out)
    grad_scores = softmax_backward(torch.einsum("...te,...se->...ts", grad_out, v), weights)
    grad_scores = grad_scores * q.shape[-1] ** -0.5
    grad_q = torch.einsum("...ts,...sd->...td", grad_scores, k)
    grad_k = torch.einsum("...ts,...td->...sd", grad_scores, q)
    return grad_q, grad_k, grad_v
