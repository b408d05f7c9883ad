"""A bias added to the scores as floats, q and k scaled by the fourth root each, one norm class for all, blocks in a dict."""

import torch
from torch import nn
from torch.nn import functional as F


class CausalSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"{num_heads} heads cannot share {embed_dim} channels")
        self.heads, self.size = num_heads, embed_dim // num_heads
        self.kv, self.q = nn.Linear(embed_dim, 2 * embed_dim), nn.Linear(embed_dim, embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)
        self.drop = nn.Dropout(dropout_p)

    def forward(self, x):
        q = self.q(x).unflatten(-1, (self.heads, -1)).movedim(-2, 1)
        k, v = self.kv(x).unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        root = self.size**0.25
        later = torch.ones(x.size(-2), x.size(-2), device=x.device, dtype=x.dtype).triu(1)
        scores = torch.einsum("bhid,bhjd->bhij", q / root, k / root)
        scores = torch.where(later > 0, float("-inf"), scores)
        mixed = torch.einsum("bhij,bhjd->bihd", self.drop(F.softmax(scores, dim=3)), v)
        return self.drop(F.linear(mixed.reshape(x.shape), self.out.weight, self.out.bias))


class MLP(nn.Sequential):
    def __init__(self, embed_dim, dropout_p=0.0):
        wide = embed_dim * 4
        super().__init__(nn.Linear(embed_dim, wide), nn.GELU("tanh"), nn.Linear(wide, embed_dim), nn.Dropout(dropout_p))


class TransformerBlock(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        self.parts = nn.ModuleDict({
            "listen": CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p),
            "think": MLP(embed_dim, dropout_p),
        })
        self.norms = nn.ModuleDict({name: nn.LayerNorm(embed_dim) for name in self.parts})

    def forward(self, x):
        for name, part in self.parts.items():
            x = part(self.norms[name](x)) + x
        return x


class GPT2(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, block_size, dropout_p=0.0):
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, embed_dim)
        self.places = nn.Parameter(torch.randn(block_size, embed_dim) * 0.02)
        self.blocks = nn.ModuleDict(
            {f"block {i}": TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for i in range(num_layers)}
        )
        self.norm = nn.LayerNorm(embed_dim)
        self.drop = nn.Dropout(dropout_p)

    def forward(self, idx):
        most, length = len(self.places), idx.shape[-1]
        if length > most:
            raise ValueError(f"{length} tokens, block_size {most}")
        x = self.drop(self.tokens(idx).add(self.places[:length]))
        for block in self.blocks.values():
            x = block(x)
        return self.norm(x) @ self.tokens.weight.mT
