"""Training: the loss of a language model, and the loop that lowers it.

Shapes: B batch, T tokens, V vocab_size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from common import problem

GPT2Config = problem(9).GPT2Config
GPT2Model = problem(10).GPT2Model
init_weights = problem(11).init_weights


def next_token_split(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """(B, T + 1) -> inputs (B, T) and targets (B, T): each target is the token after its input."""
    # TODO(12): 1 line
    raise NotImplementedError("problem 12: next_token_split")


def language_model_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy over all positions of all texts.

    Args:
        logits: (B, T, V), raw scores. targets: (B, T), int64.

    Returns:
        A scalar, in nats.
    """
    # TODO(12): 1 line
    raise NotImplementedError("problem 12: language_model_loss")


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
) -> tuple[GPT2Model, list[float]]:
    """Train a new GPT-2 with Adam on random tokens, fresh ones at every step.

    Returns:
        The model, and the loss of each step before its update. The same seed gives the same losses.

    Raises:
        ValueError: a size that makes no model, batch or number of steps.
    """
    # TODO(12): about 20 lines. Check the sizes; seed; model and optimizer; the loop
    raise NotImplementedError("problem 12: train_gpt2")
