import math

import torch
import torch.nn as nn


class Norm(nn.Module):
    def __init__(self, width, eps=1e-5):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.shift = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        variance = centred.pow(2).mean(-1, keepdim=True)
        return self.gain * centred * torch.rsqrt(variance + self.eps) + self.shift


class Head(nn.Module):
    """One attention head with matrices of its own."""

    def __init__(self, embed_dim, head_dim, dropout_p):
        super().__init__()
        self.q = nn.Linear(embed_dim, head_dim)
        self.k = nn.Linear(embed_dim, head_dim)
        self.v = nn.Linear(embed_dim, head_dim)
        self.drop = nn.Dropout(dropout_p)

    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        when = torch.arange(x.size(1), device=x.device)
        allowed = when.unsqueeze(1) >= when.unsqueeze(0)
        scores = q @ k.mT * q.size(-1) ** -0.5
        scores = torch.where(allowed, scores, torch.full_like(scores, -math.inf))
        return self.drop(torch.softmax(scores, dim=-1)) @ v


class CausalSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        if min(embed_dim, num_heads, block_size) < 1:
            raise ValueError(f"embed_dim={embed_dim}, num_heads={num_heads}, block_size={block_size}: each must be >= 1")
        head_dim, rest = divmod(embed_dim, num_heads)
        if rest:
            raise ValueError(f"embed_dim {embed_dim} / num_heads {num_heads} leaves a remainder of {rest}, must be 0")
        self.block_size = block_size
        self.heads = nn.ModuleList([Head(embed_dim, head_dim, dropout_p) for _ in range(num_heads)])
        self.mix = nn.Linear(embed_dim, embed_dim)
        self.drop = nn.Dropout(dropout_p)

    def forward(self, x):
        if x.size(1) > self.block_size:
            raise ValueError(f"{x.size(1)} positions, at most {self.block_size} (block_size)")
        return self.drop(self.mix(torch.cat([head(x) for head in self.heads], dim=-1)))


class MLP(nn.Module):
    def __init__(self, embed_dim, dropout_p=0.0):
        super().__init__()
        if embed_dim < 1:
            raise ValueError(f"embed_dim={embed_dim} must be >= 1")
        self.fc = nn.Linear(embed_dim, 4 * embed_dim)
        self.proj = nn.Linear(4 * embed_dim, embed_dim)
        self.drop = nn.Dropout(dropout_p)

    def forward(self, x):
        x = self.fc(x)
        x = 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x ** 3)))
        return self.drop(self.proj(x))


class TransformerBlock(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        self.attn = CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p)
        self.mlp = MLP(embed_dim, dropout_p)
        self.norm_a = Norm(embed_dim)
        self.norm_b = Norm(embed_dim)

    def forward(self, x):
        middle = self.attn(self.norm_a(x)) + x
        return self.mlp(self.norm_b(middle)) + middle


class GPT2(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, block_size, dropout_p=0.0):
        super().__init__()
        if min(vocab_size, embed_dim, num_heads, num_layers, block_size) < 1:
            raise ValueError(f"vocab_size={vocab_size}, embed_dim={embed_dim}, num_heads={num_heads}, "
                             f"num_layers={num_layers}, block_size={block_size}: each must be >= 1")
        self.tok = nn.Embedding(vocab_size, embed_dim)
        self.pos = nn.Parameter(torch.randn(1, block_size, embed_dim) * 0.1)
        self.drop = nn.Dropout(dropout_p)
        self.layers = nn.ModuleList()
        for _ in range(num_layers):
            self.layers.append(TransformerBlock(embed_dim, num_heads, block_size, dropout_p))
        self.final = Norm(embed_dim)
        self.unembed = nn.Linear(embed_dim, vocab_size, bias=False)

    def forward(self, idx):
        if idx.dim() != 2:
            raise ValueError(f"expected 2 dimensions (B, T), got {idx.dim()}")
        T, longest = idx.shape[-1], self.pos.shape[1]
        if T > longest:
            raise ValueError(f"{T} tokens, at most {longest} (block_size)")
        if ((idx < 0) | (idx >= self.tok.num_embeddings)).any():
            raise ValueError(f"token id {idx.max().item()} or {idx.min().item()} outside [0, {self.tok.num_embeddings})")
        x = self.drop(self.tok(idx) + self.pos[:, :T])
        for layer in self.layers:
            x = layer(x)
        return self.unembed(self.final(x))
