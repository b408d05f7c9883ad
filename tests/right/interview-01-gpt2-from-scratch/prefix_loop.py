"""No mask at all: every query looks only at the slice of the past that it may see."""
import torch
from torch import nn


class CausalSelfAttention(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or block_size <= 0:
            raise ValueError(f"sizes below 1: embed_dim={embed_dim} num_heads={num_heads} block_size={block_size}")
        if embed_dim % num_heads != 0:
            raise ValueError(f"embed_dim={embed_dim} must be divisible by num_heads={num_heads}")
        self.num_heads = num_heads
        self.block_size = block_size
        self.to_q = nn.Linear(embed_dim, embed_dim)
        self.to_kv = nn.Linear(embed_dim, 2 * embed_dim)
        self.to_out = nn.Linear(embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, x):
        B, T, C = x.shape
        if T > self.block_size:
            raise ValueError(f"T={T} does not fit into block_size={self.block_size}")
        H = self.num_heads
        D = C // H
        q = self.to_q(x).reshape(B, T, H, D)
        k, v = self.to_kv(x).reshape(B, T, 2, H, D).unbind(2)
        rows = []
        for t in range(T):
            past_k, past_v = k[:, : t + 1], v[:, : t + 1]
            scores = (past_k * q[:, t : t + 1]).sum(-1) * D ** -0.5        # (B, t+1, H)
            weights = self.dropout(scores.softmax(dim=1))
            rows.append((weights.unsqueeze(-1) * past_v).sum(1).reshape(B, C))
        return self.dropout(self.to_out(torch.stack(rows, dim=1)))


class MLP(nn.Module):
    def __init__(self, embed_dim, dropout_p=0.0):
        super().__init__()
        if embed_dim <= 0:
            raise ValueError(f"sizes below 1: embed_dim={embed_dim}")
        hidden = embed_dim * 4
        self.net = nn.Sequential(nn.Linear(embed_dim, hidden), nn.GELU(), nn.Linear(hidden, embed_dim), nn.Dropout(dropout_p))

    def forward(self, x):
        return self.net(x)


class TransformerBlock(nn.Module):
    def __init__(self, embed_dim, num_heads, block_size, dropout_p=0.0):
        super().__init__()
        self.attention_branch = nn.Sequential(nn.LayerNorm(embed_dim), CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p))
        self.mlp_branch = nn.Sequential(nn.LayerNorm(embed_dim), MLP(embed_dim, dropout_p))

    def forward(self, x):
        x = x + self.attention_branch(x)
        x = x + self.mlp_branch(x)
        return x


class GPT2(nn.Module):
    def __init__(self, vocab_size, embed_dim, num_heads, num_layers, block_size, dropout_p=0.0):
        super().__init__()
        if vocab_size <= 0 or num_layers <= 0 or block_size <= 0 or embed_dim <= 0:
            raise ValueError(f"sizes below 1: vocab_size={vocab_size} num_layers={num_layers} block_size={block_size} embed_dim={embed_dim}")
        self.sizes = (vocab_size, block_size)
        self.register_buffer("position_ids", torch.arange(block_size))
        self.body = nn.ModuleDict({
            "wte": nn.Embedding(vocab_size, embed_dim),
            "wpe": nn.Embedding(block_size, embed_dim),
            "drop": nn.Dropout(dropout_p),
            "blocks": nn.Sequential(*(TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for _ in range(num_layers))),
            "norm": nn.LayerNorm(embed_dim),
        })
        self.head = nn.Linear(embed_dim, vocab_size, bias=True)
        self.head.weight = self.body["wte"].weight                          # tied, yet with a bias

    def forward(self, idx):
        vocab_size, block_size = self.sizes
        if len(idx.shape) != 2:
            raise ValueError(f"idx of shape {tuple(idx.shape)}: must be (B, T), 2 dimensions")
        if idx.shape[1] > block_size:
            raise ValueError(f"T={idx.shape[1]} does not fit into block_size={block_size}")
        if idx.numel() > 0 and not (0 <= idx.min() and idx.max() < vocab_size):
            raise ValueError(f"ids {idx.min()}..{idx.max()} do not fit into vocab_size={vocab_size}")
        x = self.body["wte"](idx) + self.body["wpe"](self.position_ids[: idx.shape[1]])
        x = self.body["blocks"](self.body["drop"](x))
        return self.head(self.body["norm"](x))
