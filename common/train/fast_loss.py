"""The loss of a language model in one pass over pieces of the vocabulary layer's output.

B batch, T tokens, C width, V vocab_size, N = B * T.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.train.fused import causal, exchanged, fused

PIECES = {"cpu": 512, "cuda": 4096}  # rows of logits that are alive at a time
CELLS = {"cpu": 1 << 19, "cuda": 1 << 30}  # of them, softmaxed at a time: what a cache holds
LANES = 64  # matrix kernels like rows that begin at multiples of this


class HeadLoss(torch.autograd.Function):
    """Mean cross-entropy of hidden @ weight.T against targets, with both gradients made on the way.

    The (N, V) logits and their gradient, the largest tensors of the whole model, exist only in pieces.
    Under autocast the products are in its type, sums and the softmax in float32.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        """hidden (N, C), weight (V, C), targets (N,) -> scalar."""
        kind, (N, _), vocab = hidden.device.type, hidden.shape, weight.size(0)
        product = (
            torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        )
        wanted = hidden.requires_grad or weight.requires_grad
        grad_hidden = torch.empty_like(hidden) if wanted else None
        grad_weight = torch.zeros_like(weight) if wanted else None
        total = hidden.new_zeros((), dtype=torch.float32)
        piece = PIECES.get(kind, PIECES["cpu"])
        with torch.autocast(kind, enabled=False):
            states, head = hidden.to(product), weight.to(product)
            # Zeros, as some kernels for bfloat16 read what lies between the rows, and 0 * NaN is NaN.
            scratch = head.new_zeros(min(piece, N), vocab + -vocab % LANES)
            for start in range(0, N, piece):
                part = states[start : start + piece]
                logits = scratch[: len(part), :vocab]
                torch.mm(part, head.t(), out=logits)
                total += _softmax_less_targets_(logits, targets[start : start + piece])
                if grad_hidden is None or grad_weight is None:
                    continue
                torch.div(logits @ head, N, out=grad_hidden[start : start + piece])
                if product == weight.dtype:
                    grad_weight.addmm_(logits.t(), part / N)
                else:
                    grad_weight += logits.t() @ (part / N)
        ctx.save_for_backward(grad_hidden, grad_weight)
        return total / N

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """The gradients made in forward, times that of the loss."""
        grad_hidden, grad_weight = ctx.saved_tensors
        (grad,) = grad_outputs
        if grad.device.type != "cpu" or float(grad) != 1.0:  # asking a GPU would wait for it
            grad_hidden, grad_weight = grad_hidden * grad, grad_weight * grad
        return grad_hidden, grad_weight, None


def _softmax_less_targets_(logits: Tensor, targets: Tensor) -> Tensor:
    """Turn logits (n, V) into the gradient of their summed cross-entropy; the sum itself, float32."""
    rows = max(CELLS.get(logits.device.type, CELLS["cpu"]) // logits.size(1), 1)
    total = logits.new_zeros((), dtype=torch.float32)
    for some, target in zip(logits.split(rows), targets[:, None].split(rows), strict=True):
        p = F.log_softmax(some, 1, dtype=torch.float32)
        total -= p.gather(1, target).sum()
        p.exp_().scatter_add_(1, target, p.new_full(target.shape, -1.0))
        some.copy_(p)
    return total


def fast_loss(
    model: Any, ids: Tensor, targets: Tensor, states: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """The mean cross-entropy that the model's own forward and F.cross_entropy would give.

    It is fast within `fused(model, causal(model))`.

    Args:
        ids, targets: (B, T), int64.
        states: the model, or what torch.compile made of it.
    """
    with exchanged((model.lm_head, _as_it_is)):
        hidden = (model if states is None else states)(ids)
    return HeadLoss.apply(hidden.flatten(0, 1), model.lm_head.weight, targets.flatten())


def _as_it_is(x: Tensor) -> Tensor:
    return x


def agrees(model: Any, ids: Tensor, targets: Tensor, *, tolerance: float = 1e-4) -> float:
    """How far the fast loss is from the loss of the model's own forward, in eval mode.

    Raises:
        ValueError: it is further than the tolerance, so the model is not a GPT-2 as published.
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        own = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
        with fused(model, causal(model)):
            off = float((own - fast_loss(model, ids, targets)).abs())
    model.train(was_training)
    if not off <= tolerance:
        raise ValueError(f"the fast path's loss is off by {off:.2g}, more than {tolerance:g}")
    return off
