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
        # TODO(interview-02): about 6 lines
        raise NotImplementedError("problem interview-02: Block.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # TODO(interview-02): about 5 lines
        raise NotImplementedError("problem interview-02: Block.forward")


class GPT2(nn.Module):
    """Token ids (B, T) -> logits (B, T, V)."""

    def __init__(
        self, vocab_size: int, embed_dim: int, num_heads: int, num_layers: int, block_size: int
    ) -> None:
        super().__init__()
        # TODO(interview-02): about 5 lines
        raise NotImplementedError("problem interview-02: GPT2.__init__")

    def forward(self, idx: Tensor) -> Tensor:
        """(B, T) -> (B, T, V), raw scores."""
        # TODO(interview-02): 2 lines
        raise NotImplementedError("problem interview-02: GPT2.forward")


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
    # TODO(interview-02): about 20 lines
    raise NotImplementedError("problem interview-02: train_gpt2")
