"""Training in less memory: gradients over micro-batches, and activations that are computed again.

Shapes: B texts, T tokens, V vocab_size; x is (B, T, C), or ids (B, T).
"""

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

IGNORED = -100  # a target that does not count


def train_step(
    model: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    micro_batch_size: int,
    lr: float,
    max_norm: float | None = None,
) -> float:
    """One step of gradient descent on a batch, of which only micro_batch_size texts are in the model at a time.

    Args:
        model: (rows, T) ids -> (rows, T, V) logits.
        inputs, targets: (B, T) ids; a target of -100 does not count.
        max_norm: the norm of the batch's gradient is brought down to this; None leaves it as it is.

    Returns:
        The mean cross-entropy over all targets of the batch that count, before the update.

    Raises:
        ValueError: micro_batch_size is below 1, or no target counts; the model has not changed.
    """
    # TODO(interview-20): about 16 lines. Check, clear, one backward() for each micro-batch, clip, update
    raise NotImplementedError("problem interview-20: train_step")


def checkpoint(block: nn.Module, x: Tensor) -> Tensor:
    """block(x), of which nothing but x is kept: backward() computes it again.

    The block is called with gradients off, and once more, with gradients on, in backward().

    Source: Chen et al. (2016), section 4.
    """
    # TODO(interview-20): 1 line, and a torch.autograd.Function
    raise NotImplementedError("problem interview-20: checkpoint")


class Checkpointed(nn.Module):
    """Blocks one after the other, segment_size of them in each checkpoint.

    Args:
        blocks: they are kept as `blocks`, an nn.ModuleList.

    Raises:
        ValueError: segment_size is below 1.
    """

    def __init__(self, blocks: Iterable[nn.Module], segment_size: int = 1) -> None:
        super().__init__()
        # TODO(interview-20): about 4 lines
        raise NotImplementedError("problem interview-20: Checkpointed.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """What the blocks give, each of what the one before it gave."""
        # TODO(interview-20): about 3 lines
        raise NotImplementedError("problem interview-20: Checkpointed.forward")
