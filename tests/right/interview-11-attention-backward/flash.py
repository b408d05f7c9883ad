"""FlashAttention's identity: the row's mean gradient is the product of out and its gradient."""

import math

import torch


def attention_forward(q, k, v, causal=True):
    t, s = q.shape[-2:-1] + k.shape[-2:-1]
    if causal and s != t:
        raise ValueError("causal, but T = %d and S = %d" % (t, s))
    scores = q.matmul(k.mT).mul(1 / math.sqrt(q.shape[-1]))
    if causal:
        scores.masked_fill_(torch.ones(t, t, device=q.device).triu(1).bool(), -math.inf)
    weights = torch.exp(scores - torch.logsumexp(scores, dim=-1, keepdim=True))
    return weights.matmul(v), weights


def softmax_backward(grad_weights, weights):
    grad = weights * grad_weights
    return torch.addcmul(grad, weights, grad.sum(-1, True), value=-1)


def attention_backward(grad_out, q, k, v, weights):
    out = weights.matmul(v)
    delta = (grad_out * out).sum(-1, keepdim=True)
    ds = weights * (grad_out.matmul(v.mT) - delta) / math.sqrt(q.shape[-1])
    return [ds.matmul(k), ds.mT.matmul(q), weights.mT.matmul(grad_out)]
