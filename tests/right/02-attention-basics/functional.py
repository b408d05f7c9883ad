"""F.scaled_dot_product_attention with scale 1 in the module, matmul and transpose in the function."""

import torch
import torch.nn.functional as F
from torch import nn


def dot_product_attention(query, key, value):
    attn = F.softmax(torch.matmul(query, key.transpose(-1, -2)), dim=-1)
    return (torch.matmul(attn, value), attn)


class SelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_embd = config.n_embd
        for name in ("query", "key", "value"):
            setattr(self, name, nn.Linear(self.n_embd, self.n_embd, bias=True))

    def forward(self, x):
        q = F.linear(x, self.query.weight, self.query.bias)
        k, v = self.key(x), self.value(x)
        return F.scaled_dot_product_attention(q, k, v, scale=1.0)
