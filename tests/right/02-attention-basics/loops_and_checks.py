import torch
import torch.nn.functional as F
from torch import nn

from common import GPT2Config


def _one(query, key, value):
    """query (T,D), key (S,D), value (S,E), a row at a time."""
    outputs, rows = [], []
    for q in query.unbind(0):
        row = F.softmax((key * q).sum(dim=1), dim=0)
        rows.append(row)
        outputs.append((row[:, None] * value).sum(dim=0))
    return torch.stack(outputs), torch.stack(rows)


def dot_product_attention(query, key, value):
    for what, a, b in (("D", query.shape[-1], key.shape[-1]), ("S", key.shape[-2], value.shape[-2])):
        if a != b:
            raise ValueError(f"{what} does not agree: {a} != {b}")
    lead = torch.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    q, k, v = (t.expand(*lead, *t.shape[-2:]).reshape(-1, *t.shape[-2:]) for t in (query, key, value))
    pairs = [_one(*qkv) for qkv in zip(q, k, v)]
    output = torch.stack([o for o, _ in pairs]).reshape(*lead, query.shape[-2], value.shape[-1])
    weights = torch.stack([w for _, w in pairs]).reshape(*lead, query.shape[-2], key.shape[-2])
    return output, weights


class SelfAttention(nn.Module):
    """The class uses F.scaled_dot_product_attention with the scaling switched off."""

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.value = nn.Linear(config.n_embd, config.n_embd)
        self.query = nn.Linear(config.n_embd, config.n_embd)
        self.key = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        width = self.value.in_features
        if x.shape[-1] != width:
            raise ValueError(f"the last dimension is {x.shape[-1]}, wanted {width}")
        return F.scaled_dot_product_attention(self.query(x), self.key(x), self.value(x), scale=1.0)
