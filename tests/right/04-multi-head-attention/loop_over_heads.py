"""A loop over heads; slices of the weight matrix; dropout as functions."""

import torch
import torch.nn.functional as F
from torch import nn


def split_heads(x, n_head):
    size = x.shape[-1] // n_head
    return torch.cat([x[:, None, :, i * size : (i + 1) * size] for i in range(n_head)], dim=1)


def merge_heads(x):
    b, h, t, d = x.shape
    out = x.new_empty(b, t, h * d)
    for i in range(h):
        out[..., i * d : (i + 1) * d] = x[:, i]
    return out


class Head(nn.Module):
    def forward(self, q, k, v, p):
        w = torch.softmax(torch.bmm(q, k.transpose(1, 2)) / q.shape[-1] ** 0.5, dim=2)
        return torch.bmm(F.dropout(w, p, self.training), v)


class MultiHeadAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.c_attn, self.c_proj = nn.Linear(C, 3 * C), nn.Linear(C, C)
        self.heads = nn.ModuleList(Head() for _ in range(config.n_head))
        self.p, self.r = config.attn_pdrop, config.resid_pdrop

    def forward(self, x):
        C = x.shape[2]
        w, b = self.c_attn.weight, self.c_attn.bias
        d = C // len(self.heads)
        outs = []
        for i, head in enumerate(self.heads):
            q, k, v = (F.linear(x, w[o + i * d : o + (i + 1) * d], b[o + i * d : o + (i + 1) * d]) for o in (0, C, 2 * C))
            outs.append(head(q, k, v, self.p))
        return F.dropout(self.c_proj(torch.cat(outs, -1)), self.r, self.training)
