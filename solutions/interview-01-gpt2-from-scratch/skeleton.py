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

    def __init__(
        self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0
    ) -> None:
        super().__init__()
        # TODO(interview-01): about 8 lines
        raise NotImplementedError("problem interview-01: CausalSelfAttention.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # TODO(interview-01): about 9 lines
        raise NotImplementedError("problem interview-01: CausalSelfAttention.forward")


class MLP(nn.Module):
    """Two linear layers, four times as wide between them, with GELU."""

    def __init__(self, embed_dim: int, dropout_p: float = 0.0) -> None:
        super().__init__()
        # TODO(interview-01): about 4 lines
        raise NotImplementedError("problem interview-01: MLP.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C), each token by itself."""
        # TODO(interview-01): 1 line
        raise NotImplementedError("problem interview-01: MLP.forward")


class TransformerBlock(nn.Module):
    """Attention, then the MLP; each reads a normalised copy of x and adds its result to x."""

    def __init__(
        self, embed_dim: int, num_heads: int, block_size: int, dropout_p: float = 0.0
    ) -> None:
        super().__init__()
        # TODO(interview-01): about 5 lines
        raise NotImplementedError("problem interview-01: TransformerBlock.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # TODO(interview-01): about 2 lines
        raise NotImplementedError("problem interview-01: TransformerBlock.forward")


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
        # TODO(interview-01): about 8 lines
        raise NotImplementedError("problem interview-01: GPT2.__init__")

    def forward(self, idx: Tensor) -> Tensor:
        """Logits for the token after each position.

        Args:
            idx: (B, T) token ids, int64, T at most block_size.

        Returns:
            (B, T, V), raw scores.

        Raises:
            ValueError: more than block_size tokens.
        """
        # TODO(interview-01): about 7 lines
        raise NotImplementedError("problem interview-01: GPT2.forward")
