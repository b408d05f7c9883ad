"""Separate query, key and value layers, einsum, exact GELU, a learned position tensor that starts at zero, an untied head with bias."""

import math

import torch
from torch import nn


class CausalSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        assert embed_dim % num_heads == 0, f"{embed_dim} is not a multiple of {num_heads}"
        self.h, self.d = num_heads, embed_dim // num_heads
        self.value = nn.Linear(embed_dim, embed_dim, bias=False)
        self.key = nn.Linear(embed_dim, embed_dim, bias=False)
        self.query = nn.Linear(embed_dim, embed_dim, bias=False)
        self.out = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (self.h, self.d)) for f in (self.query, self.key, self.value))
        scores = torch.einsum("bihd,bjhd->bhij", q, k) * (1 / math.sqrt(self.d))
        t = x.shape[1]
        hidden = torch.full((t, t), float("-inf"), device=x.device, dtype=x.dtype).triu(1)
        weights = self.dropout(torch.softmax(scores + hidden, dim=-1))
        return self.dropout(self.out(torch.einsum("bhij,bjhd->bihd", weights, v).flatten(2)))


class MLP(nn.Module):
    def __init__(self, embed_dim, dropout_p=0.0):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(embed_dim, 4 * embed_dim), nn.GELU(), nn.Linear(4 * embed_dim, embed_dim), nn.Dropout(dropout_p))

    def forward(self, x):
        return self.net(x)


class TransformerBlock(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        self.mlp = MLP(embed_dim, dropout_p)
        self.attention = CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p)
        self.norm_a, self.norm_b = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)

    def forward(self, x):
        after = self.attention(self.norm_a(x)) + x
        return self.mlp(self.norm_b(after)) + after


class GPT2(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, block_size, dropout_p=0.0):
        super().__init__()
        self.token = nn.Embedding(vocab_size, embed_dim)
        self.position = nn.Parameter(torch.zeros(1, block_size, embed_dim))
        self.drop = nn.Dropout(dropout_p)
        self.body = nn.Sequential(*[TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for _ in range(num_layers)], nn.LayerNorm(embed_dim))
        self.head = nn.Linear(embed_dim, vocab_size)

    def forward(self, idx):
        b, t = idx.shape
        assert t <= self.position.shape[1], f"text of {t} tokens, at most {self.position.shape[1]}"
        return self.head(self.body(self.drop(self.token(idx) + self.position[:, :t])))
