import torch
import torch.nn as nn


def dot_product_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor):
    d_q, d_k, s_k, s_v = query.shape[-1], key.shape[-1], key.shape[-2], value.shape[-2]
    if d_q != d_k:
        raise ValueError("key width is %d where the query asks for %d" % (d_k, d_q))
    if s_k != s_v:
        raise ValueError("%d values given for %d keys" % (s_v, s_k))
    logits = torch.einsum("...td,...sd->...ts", query, key)
    unnormalised = (logits - logits.amax(-1, keepdim=True)).exp()
    weights = unnormalised / unnormalised.sum(-1, keepdim=True)
    return torch.einsum("...ts,...se->...te", weights, value), weights


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        for name in ("query", "key", "value"):
            setattr(self, name, nn.Linear(config.n_embd, config.n_embd))

    def forward(self, x):
        if x.ndim != 3 or x.shape[2] != self.query.in_features:
            raise ValueError("need shape (B, T, %d), got %s" % (self.query.in_features, tuple(x.shape)))
        return dot_product_attention(*(getattr(self, name)(x) for name in ("query", "key", "value")))[0]
