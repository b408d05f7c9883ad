import torch
from torch import nn

from common import GPT2Config


def dot_product_attention(query, key, value):
    if query.size(-1) != key.size(-1):
        raise ValueError(f"query has size {query.size(-1)} and key {key.size(-1)} in the last dimension; they must be equal")
    if key.size(-2) != value.size(-2):
        raise ValueError(f"key holds {key.size(-2)} tokens and value {value.size(-2)}; they must be equal")
    scores = query @ key.transpose(-2, -1)
    weights = torch.softmax(scores, dim=-1)
    output = weights @ value
    return output, weights


class SelfAttention(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        self.n_embd = config.n_embd
        self.query = nn.Linear(config.n_embd, config.n_embd)
        self.key = nn.Linear(config.n_embd, config.n_embd)
        self.value = nn.Linear(config.n_embd, config.n_embd)

    def forward(self, x):
        if x.size(-1) != self.n_embd:
            raise ValueError(f"input width {x.size(-1)} is not n_embd={self.n_embd}")
        output, _ = dot_product_attention(self.query(x), self.key(x), self.value(x))
        return output
