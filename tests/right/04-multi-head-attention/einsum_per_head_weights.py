import torch
from torch import nn

from common import GPT2Config


class _HeadShape:
    """Knows how C falls apart into heads."""

    def __init__(self, width, n_head):
        if n_head < 1 or width % n_head:
            raise ValueError(f"{width} features do not fall into {n_head} equal heads")
        self.n_head, self.head_dim = n_head, width // n_head


def split_heads(x, n_head):
    shape = _HeadShape(x.shape[-1], n_head)
    return x.unflatten(-1, (shape.n_head, shape.head_dim)).permute(0, 2, 1, 3).contiguous()


def merge_heads(x):
    return x.movedim(1, 2).flatten(2)


class MultiHeadAttention(nn.Module):
    """Applies each head's slice of the weights straight to x; no reshaping of activations."""

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.shape = _HeadShape(config.n_embd, config.n_head)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)
        self.attn_dropout = nn.Dropout(config.attn_pdrop)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)

    def forward(self, x):
        C = self.c_proj.in_features
        if x.shape[-1] != C:
            raise ValueError(f"got {x.shape[-1]} features, want {C}")
        H, D = self.shape.n_head, self.shape.head_dim
        weight = self.c_attn.weight.reshape(3, H, D, C)
        bias = self.c_attn.bias.reshape(3, 1, H, 1, D)
        q, k, v = torch.einsum("btc,nhdc->nbhtd", x, weight) + bias
        scores = torch.einsum("bhtd,bhsd->bhts", q / D**0.5, k)
        weights = self.attn_dropout(scores.softmax(-1))
        mixed = torch.einsum("bhts,bhsd->bthd", weights, v).flatten(2)
        return self.resid_dropout(self.c_proj(mixed))
