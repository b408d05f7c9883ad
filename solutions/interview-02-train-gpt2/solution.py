"""Train a small GPT-2 on random tokens, in one file.

Shapes: B batch, T tokens, C embed_dim, H num_heads, V vocab_size.
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor


class Block(nn.Module):
    """Causal self-attention, then a feed-forward layer, each added to x after a LayerNorm."""

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        # lesson: about 6 lines
        self.num_heads = num_heads
        self.ln_1, self.ln_2 = nn.LayerNorm(embed_dim), nn.LayerNorm(embed_dim)
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)
        self.up = nn.Linear(embed_dim, 4 * embed_dim)
        self.down = nn.Linear(4 * embed_dim, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # lesson: about 5 lines
        heads = self.qkv(self.ln_1(x)).unflatten(-1, (3, self.num_heads, -1))  # (B, T, 3, H, D)
        q, k, v = heads.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.ln_2(x))))


class GPT2(nn.Module):
    """Token ids (B, T) -> logits (B, T, V)."""

    def __init__(
        self, vocab_size: int, embed_dim: int, num_heads: int, num_layers: int, block_size: int
    ) -> None:
        super().__init__()
        # lesson: about 5 lines
        self.wte = nn.Embedding(vocab_size, embed_dim)
        self.wpe = nn.Embedding(block_size, embed_dim)
        self.blocks = nn.Sequential(*[Block(embed_dim, num_heads) for _ in range(num_layers)])
        self.ln_f = nn.LayerNorm(embed_dim)
        self.head = nn.Linear(embed_dim, vocab_size, bias=False)

    def forward(self, idx: Tensor) -> Tensor:
        """(B, T) -> (B, T, V), raw scores."""
        # lesson: 2 lines
        x = self.wte(idx) + self.wpe(torch.arange(idx.size(1), device=idx.device))
        return self.head(self.ln_f(self.blocks(x)))


def train_gpt2(
    vocab_size: int = 100,
    embed_dim: int = 64,
    num_heads: int = 4,
    num_layers: int = 2,
    block_size: int = 32,
    batch_size: int = 4,
    num_steps: int = 50,
    lr: float = 1e-3,
    seed: int = 42,
) -> tuple[nn.Module, list[float]]:
    """Train a new GPT-2 with Adam on random tokens, fresh ones at every step.

    Returns:
        The model, and the loss of each step before its update. The same seed gives the same losses.

    Raises:
        ValueError: a size below 1, or heads that do not divide embed_dim.
    """
    # lesson: about 20 lines
    sizes = (vocab_size, embed_dim, num_heads, num_layers, block_size, batch_size, num_steps)
    if min(sizes) < 1:
        raise ValueError(f"every size must be at least 1: {sizes}")
    if embed_dim % num_heads != 0:
        raise ValueError(f"num_heads={num_heads} does not divide embed_dim={embed_dim}")
    torch.manual_seed(seed)  # before the model: its first weights are random too
    model = GPT2(vocab_size, embed_dim, num_heads, num_layers, block_size)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(num_steps):
        tokens = torch.randint(vocab_size, (batch_size, block_size + 1))
        inputs, targets = tokens[:, :-1], tokens[:, 1:]
        loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses
