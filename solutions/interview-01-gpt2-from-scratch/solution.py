"""GPT-2 from scratch, in one file.

Shapes: B batch, T tokens, C embed_dim, H num_heads, D = C // H, V vocab_size.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


class CausalSelfAttention(nn.Module):
    """Multi-head self-attention in which a token sees itself and what came before.

    Raises:
        ValueError: num_heads does not divide embed_dim.
    """

    causal: Tensor  # lesson

    def __init__(
        self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0
    ) -> None:
        super().__init__()
        # lesson: about 8 lines
        if embed_dim % num_heads != 0:
            raise ValueError(f"num_heads={num_heads} does not divide embed_dim={embed_dim}")
        self.num_heads = num_heads
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)
        self.attn_dropout = nn.Dropout(dropout_p)
        self.resid_dropout = nn.Dropout(dropout_p)
        causal = torch.ones(block_size, block_size, dtype=torch.bool).tril()
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # lesson: about 9 lines
        B, T, C = x.shape
        q, k, v = (
            part.view(B, T, self.num_heads, -1).transpose(1, 2) for part in self.qkv(x).split(C, -1)
        )
        scores = q @ k.transpose(-2, -1) / (C // self.num_heads) ** 0.5  # (B, H, T, T)
        scores = scores.masked_fill(~self.causal[:T, :T], -torch.inf)
        out = self.attn_dropout(scores.softmax(-1)) @ v
        return self.resid_dropout(self.proj(out.transpose(1, 2).reshape(B, T, C)))


class MLP(nn.Module):
    """Two linear layers, four times as wide between them, with GELU."""

    def __init__(self, embed_dim: int, dropout_p: float = 0.0) -> None:
        super().__init__()
        # lesson: about 4 lines
        self.up = nn.Linear(embed_dim, 4 * embed_dim)
        self.down = nn.Linear(4 * embed_dim, embed_dim)
        self.dropout = nn.Dropout(dropout_p)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C), each token by itself."""
        # lesson: 1 line
        return self.dropout(self.down(F.gelu(self.up(x), approximate="tanh")))


class TransformerBlock(nn.Module):
    """Attention, then the MLP; each reads a normalised copy of x and adds its result to x."""

    def __init__(
        self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0
    ) -> None:
        super().__init__()
        # lesson: about 5 lines
        self.ln_1 = nn.LayerNorm(embed_dim)
        self.attn = CausalSelfAttention(embed_dim, num_heads, block_size, dropout_p)
        self.ln_2 = nn.LayerNorm(embed_dim)
        self.mlp = MLP(embed_dim, dropout_p)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # lesson: about 2 lines
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2(nn.Module):
    """Token and position embeddings, blocks, a last LayerNorm, and the scores of the next token."""

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
        # lesson: about 8 lines
        self.block_size = block_size
        self.wte = nn.Embedding(vocab_size, embed_dim)
        self.wpe = nn.Embedding(block_size, embed_dim)
        self.drop = nn.Dropout(dropout_p)
        self.blocks = nn.ModuleList(
            TransformerBlock(embed_dim, num_heads, block_size, dropout_p) for _ in range(num_layers)
        )
        self.ln_f = nn.LayerNorm(embed_dim)
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)

    def forward(self, idx: Tensor) -> Tensor:
        """Logits for the token after each position.

        Args:
            idx: (B, T) token ids, int64, T at most block_size.

        Returns:
            (B, T, V), raw scores.

        Raises:
            ValueError: more than block_size tokens.
        """
        # lesson: about 7 lines
        T = idx.size(1)
        if T > self.block_size:
            raise ValueError(f"{T} tokens are more than block_size={self.block_size}")
        x = self.drop(self.wte(idx) + self.wpe(torch.arange(T, device=idx.device)))
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln_f(x))
