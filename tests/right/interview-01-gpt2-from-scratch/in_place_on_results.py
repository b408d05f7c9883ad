"""GPT-2 with einsum, raw parameters and in-place work on tensors of its own."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


def refuse_heads(embed_dim: int, num_heads: int) -> None:
    if embed_dim % num_heads:
        raise ValueError(f"embed_dim {embed_dim} is not a multiple of num_heads {num_heads}")


def refuse_length(T: int, block_size: int) -> None:
    if T > block_size:
        raise ValueError(f"text of {T} tokens, block_size {block_size}")


def weight(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * 0.05)


class CausalSelfAttention(nn.Module):
    def __init__(
        self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0
    ) -> None:
        super().__init__()
        refuse_heads(embed_dim, num_heads)
        head_dim = embed_dim // num_heads
        self.scale = 1 / math.sqrt(head_dim)
        self.w_in = weight(3, num_heads, embed_dim, head_dim)
        self.w_out = weight(num_heads, head_dim, embed_dim)
        self.dropout = nn.Dropout(dropout_p)
        future = torch.arange(block_size) > torch.arange(block_size)[:, None]
        self.register_buffer("future", future, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        T = x.size(1)
        refuse_length(T, self.future.size(0))
        q, k, v = torch.einsum("btc,nhcd->nbhtd", x, self.w_in)
        scores = torch.einsum("bhid,bhjd->bhij", q * self.scale, k)
        scores.masked_fill_(self.future[:T, :T], -torch.inf)
        weights = self.dropout(torch.softmax(scores, dim=-1))
        heads = torch.einsum("bhij,bhjd->bhid", weights, v)
        return self.dropout(torch.einsum("bhid,hdc->bic", heads, self.w_out))


class MLP(nn.Module):
    def __init__(self, embed_dim: int, dropout_p: float = 0.0) -> None:
        super().__init__()
        self.up, self.up_bias = weight(embed_dim, 4 * embed_dim), nn.Parameter(torch.zeros(4 * embed_dim))
        self.down, self.down_bias = weight(4 * embed_dim, embed_dim), nn.Parameter(torch.zeros(embed_dim))
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, x: Tensor) -> Tensor:
        h = x @ self.up
        h += self.up_bias
        y = F.gelu(h, approximate="tanh") @ self.down
        y += self.down_bias
        return self.dropout(y)


class TransformerBlock(nn.Module):
    def __init__(
        self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0
    ) -> None:
        super().__init__()
        self.steps = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(embed_dim), sublayer)
            for sublayer in (
                CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p),
                MLP(embed_dim, dropout_p),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            written = step(x)
            written += x
            x = written
        return x


class GPT2(nn.Module):
    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        num_heads: int,
        num_layers: int,
        block_size: int,
        dropout_p: float = 0.0,
    ) -> None:
        super().__init__()
        refuse_heads(embed_dim, num_heads)
        self.tokens, self.positions = weight(vocab_size, embed_dim), weight(block_size, embed_dim)
        self.dropout = nn.Dropout(dropout_p)
        self.blocks = nn.ModuleList(
            TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for _ in range(num_layers)
        )
        self.ln_f = nn.LayerNorm(embed_dim)
        self.head = nn.Linear(embed_dim, vocab_size)

    def forward(self, idx: Tensor) -> Tensor:
        T = idx.size(1)
        refuse_length(T, self.positions.size(0))
        x = F.embedding(idx, self.tokens)
        x += self.positions[:T]
        x = self.dropout(x)
        for block in self.blocks:
            x = block(x=x)
        return self.head(input=self.ln_f(input=x))
