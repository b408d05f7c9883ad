from math import sqrt

import torch
from torch import nn


def need(ok, message):
    if not ok:
        raise ValueError(message)


class CausalSelfAttention(nn.Module):
    """Three projections, one mask buffer that is not saved, einsum everywhere."""

    def __init__(self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0):
        super().__init__()
        need(embed_dim >= 1, f"embed_dim is {embed_dim}, minimum 1")
        need(num_heads >= 1, f"num_heads is {num_heads}, minimum 1")
        need(block_size >= 1, f"block_size is {block_size}, minimum 1")
        need(embed_dim % num_heads == 0, f"cannot split embed_dim {embed_dim} over num_heads {num_heads}")
        self.heads = num_heads
        self.query = nn.Linear(embed_dim, embed_dim, bias=False)
        self.key = nn.Linear(embed_dim, embed_dim, bias=False)
        self.value = nn.Linear(embed_dim, embed_dim, bias=False)
        self.out = nn.Linear(embed_dim, embed_dim)
        self.drop_weights = nn.Dropout(dropout_p)
        self.drop_out = nn.Dropout(dropout_p)
        future = torch.triu(torch.ones(block_size, block_size, dtype=torch.bool), diagonal=1)
        self.register_buffer("future", future, persistent=False)

    def forward(self, x):
        T = x.size(1)
        limit = self.future.size(0)
        need(T <= limit, f"T={T} is longer than block_size={limit}")
        q, k, v = (lin(x).unflatten(-1, (self.heads, -1)) for lin in (self.query, self.key, self.value))
        scores = torch.einsum("bthd,bshd->bhts", q, k) / sqrt(q.size(-1))
        weights = scores.masked_fill(self.future[:T, :T], float("-inf")).softmax(-1)
        mixed = torch.einsum("bhts,bshd->bthd", self.drop_weights(weights), v)
        return self.drop_out(self.out(mixed.flatten(2)))


class MLP(nn.Module):
    def __init__(self, embed_dim: int, dropout_p: float = 0.0):
        super().__init__()
        need(embed_dim >= 1, f"embed_dim is {embed_dim}, minimum 1")
        self.up = nn.Linear(embed_dim, embed_dim * 4)
        self.down = nn.Linear(embed_dim * 4, embed_dim)
        self.act = nn.GELU(approximate="tanh")
        self.drop = nn.Dropout(dropout_p)

    def forward(self, x):
        return self.drop(self.down(self.act(self.up(x))))


class TransformerBlock(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0):
        super().__init__()
        self.attention = CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p)
        self.feed_forward = MLP(embed_dim, dropout_p)
        self.norms = nn.ModuleList([nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)])

    def forward(self, x):
        for norm, sublayer in zip(self.norms, (self.attention, self.feed_forward)):
            x = x + sublayer(norm(x))
        return x


class GPT2(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, block_size, dropout_p=0.0):
        super().__init__()
        for label, number in (("vocab_size", vocab_size), ("embed_dim", embed_dim), ("num_heads", num_heads),
                              ("num_layers", num_layers), ("block_size", block_size)):
            need(number >= 1, f"{label} is {number}, minimum 1")
        self.tokens = nn.Embedding(vocab_size, embed_dim)
        self.positions = nn.Embedding(block_size, embed_dim)
        self.embed_drop = nn.Dropout(dropout_p)
        self.blocks = nn.Sequential(*[TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for _ in range(num_layers)])
        self.norm = nn.LayerNorm(embed_dim)
        self.head = nn.Linear(embed_dim, vocab_size)          # untied, with a bias

    def forward(self, idx):
        need(idx.ndim == 2, f"idx.ndim is {idx.ndim}, must be 2")
        limit = self.positions.num_embeddings
        need(idx.size(1) <= limit, f"T={idx.size(1)} is longer than block_size={limit}")
        vocab = self.tokens.num_embeddings
        bad = idx[(idx < 0) | (idx >= vocab)]
        need(bad.numel() == 0, f"token ids {bad[:5].tolist()} must lie below vocab_size={vocab} and not below 0")
        x = self.tokens(idx) + self.positions.weight[: idx.size(1)]
        return self.head(self.norm(self.blocks(self.embed_drop(x))))
