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
    # lesson: about 16 lines. Check, clear, one backward() for each micro-batch, clip, update
    if micro_batch_size < 1:
        raise ValueError(f"micro_batch_size must be at least 1, not {micro_batch_size}")
    count = int((targets != IGNORED).sum())
    if count == 0:
        raise ValueError("no target of the batch counts")
    model.zero_grad()
    loss = 0.0
    pieces = inputs.split(micro_batch_size), targets.split(micro_batch_size)
    for ids, wanted in zip(*pieces, strict=True):
        logits = model(ids).flatten(0, 1)
        # A sum over the count of the whole batch: such shares add up, whatever is in a micro-batch.
        share = F.cross_entropy(logits, wanted.flatten(), reduction="sum") / count
        share.backward()
        loss += share.item()
    if max_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p -= lr * p.grad
    return loss


class _Recomputed(torch.autograd.Function):
    """The block's parameters are inputs as well, or no gradient would be asked for where x needs none."""

    @staticmethod
    def forward(ctx: Any, block: nn.Module, x: Tensor, *params: Tensor) -> Tensor:
        ctx.block, ctx.random = block, torch.get_rng_state()
        ctx.save_for_backward(x)
        return block(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        needs = ctx.needs_input_grad[1:]
        x = ctx.saved_tensors[0].detach().requires_grad_(needs[0])
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.set_rng_state(ctx.random)  # the same dropout masks as before
            out = ctx.block(x)
        leaves = [x, *ctx.block.parameters()]
        wanted = [leaf for leaf, need in zip(leaves, needs, strict=True) if need]
        found = iter(torch.autograd.grad(out, wanted, grads, allow_unused=True))
        return None, *(next(found) if need else None for need in needs)


def checkpoint(block: nn.Module, x: Tensor) -> Tensor:
    """block(x), of which nothing but x is kept: backward() computes it again.

    The block is called with gradients off, and once more, with gradients on, in backward().

    Source: Chen et al. (2016), section 4.
    """
    # lesson: 1 line, and a torch.autograd.Function
    return _Recomputed.apply(block, x, *block.parameters())


class Checkpointed(nn.Module):
    """Blocks one after the other, segment_size of them in each checkpoint.

    Args:
        blocks: they are kept as `blocks`, an nn.ModuleList.

    Raises:
        ValueError: segment_size is below 1.
    """

    def __init__(self, blocks: Iterable[nn.Module], segment_size: int = 1) -> None:
        super().__init__()
        # lesson: about 4 lines
        if segment_size < 1:
            raise ValueError(f"segment_size must be at least 1, not {segment_size}")
        self.blocks = nn.ModuleList(blocks)
        self.segment_size = segment_size

    def forward(self, x: Tensor) -> Tensor:
        """What the blocks give, each of what the one before it gave."""
        # lesson: about 3 lines
        for start in range(0, len(self.blocks), self.segment_size):
            segment = nn.Sequential(*self.blocks[start : start + self.segment_size])
            x = checkpoint(segment, x)
        return x
