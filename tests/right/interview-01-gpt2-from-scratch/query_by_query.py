"""Attention one query at a time, each over the keys so far: no mask anywhere; the rest is short."""

import torch
import torch.nn as nn
import torch.nn.functional as F


class CausalSelfAttention(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0) -> None:
        super().__init__()
        assert embed_dim % num_heads == 0, (embed_dim, num_heads)
        self.num_heads, self.p = num_heads, dropout_p
        self.into, self.back = nn.Linear(embed_dim, 3 * embed_dim, bias=False), nn.Linear(embed_dim, embed_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (y.unflatten(-1, (self.num_heads, -1)) for y in self.into(x).tensor_split(3, -1))
        rows = []
        for t in range(x.size(1)):
            scores = (q[:, t, None] * k[:, : t + 1]).sum(-1) * q.size(-1) ** -0.5  # (B, t + 1, H)
            shares = F.dropout(scores.softmax(1), self.p, self.training)
            rows.append((shares[..., None] * v[:, : t + 1]).sum(1).flatten(1))
        return F.dropout(self.back(torch.stack(rows, 1)), self.p, self.training)


class MLP(nn.Module):
    def __init__(self, embed_dim: int, dropout_p: float = 0.0) -> None:
        super().__init__()
        self.p, self.a, self.b = dropout_p, nn.Linear(embed_dim, 4 * embed_dim), nn.Linear(4 * embed_dim, embed_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.dropout(self.b(F.gelu(self.a(x))), self.p, self.training)


class TransformerBlock(nn.Module):
    def __init__(self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0) -> None:
        super().__init__()
        self.one, self.two = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.attend, self.mlp = CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p), MLP(embed_dim, dropout_p)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heard = x + self.attend(self.one(x))
        return heard + self.mlp(self.two(heard))


class GPT2(nn.Module):
    def __init__(
        self, vocab_size: int, embed_dim: int, num_heads: int, num_layers: int, block_size: int, dropout_p: float = 0.0
    ) -> None:
        super().__init__()
        self.p = dropout_p
        self.tokens, self.places = nn.Embedding(vocab_size, embed_dim), nn.Embedding(block_size, embed_dim)
        layers = (TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for _ in range(num_layers))
        self.rest = nn.Sequential(*layers, nn.LayerNorm(embed_dim), nn.Linear(embed_dim, vocab_size))

    def forward(self, idx: torch.Tensor) -> torch.Tensor:
        room = self.places.weight.size(0)
        if idx.size(1) > room:
            raise IndexError(f"a text of {idx.size(1)} tokens is longer than block_size={room}")
        x = self.tokens(idx) + self.places.weight[: idx.size(1)]
        return self.rest(F.dropout(x, self.p, self.training))
