"""The loss of a language model in one pass over pieces of the vocabulary layer's output.

B batch, T tokens, C width, V vocab_size, N = B * T.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from common.fast.walk import last_norm, through_blocks

PIECES = {"cpu": 512, "cuda": 4096}  # rows of logits that are alive at a time
LANES = 64  # matrix kernels like sizes that are multiples of this


class HeadLoss(torch.autograd.Function):
    """Mean cross-entropy of hidden @ weight.T against targets, with both gradients made on the way.

    The (N, V) logits and their gradient, the largest tensors of the whole model, exist only in pieces.
    Under autocast the products are in its type, sums and the softmax in float32.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        """hidden (N, C), weight (V, C), targets (N,) -> scalar."""
        kind, rows, vocab = hidden.device.type, hidden.size(0), weight.size(0)
        product = (
            torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        )
        with torch.autocast(kind, enabled=False):
            spare = -vocab % LANES
            padded = (F.pad(weight, (0, 0, 0, spare)) if spare else weight).to(product)
            wanted = hidden.requires_grad or weight.requires_grad
            grad_hidden = torch.empty_like(hidden) if wanted else None
            grad_weight = torch.zeros_like(padded, dtype=weight.dtype) if wanted else None
            total = hidden.new_zeros((), dtype=torch.float32)
            for part, target, out in _pieces(hidden.to(product), targets, grad_hidden):
                logits = (part @ padded.t()).float()
                if spare:
                    logits[:, vocab:] = -torch.inf
                chosen = logits.gather(1, target[:, None])
                peak = logits.amax(1, keepdim=True)
                logits.sub_(peak).exp_()
                sums = logits.sum(1, keepdim=True)
                total += (sums.log() + peak - chosen).sum()
                if out is not None and grad_weight is not None:
                    logits.div_(sums * rows)  # softmax / N
                    logits.scatter_add_(1, target[:, None], torch.full_like(chosen, -1 / rows))
                    small = logits.to(product)
                    out.copy_(small @ padded)
                    if product == grad_weight.dtype:
                        grad_weight.addmm_(small.t(), part)
                    else:
                        grad_weight += small.t() @ part
        ctx.save_for_backward(grad_hidden, grad_weight[:vocab] if grad_weight is not None else None)
        return total / rows

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """The gradients made in forward, times that of the loss."""
        grad_hidden, grad_weight = ctx.saved_tensors
        (grad,) = grad_outputs
        if grad.device.type != "cpu" or float(grad) != 1.0:  # asking a GPU would wait for it
            grad_hidden, grad_weight = grad_hidden * grad, grad_weight * grad
        return grad_hidden, grad_weight, None


def _pieces(
    hidden: Tensor, targets: Tensor, grad: Tensor | None
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    size = PIECES.get(hidden.device.type, PIECES["cpu"])
    for start in range(0, hidden.size(0), size):
        rows = slice(start, start + size)
        yield hidden[rows], targets[rows], None if grad is None else grad[rows]


def hidden_states(model: Any, ids: Tensor) -> Tensor:
    """What ln_f gives for ids (B, T), in train or eval mode as the model is: (B, T, C).

    Source: GPT-2's forward pass by the contract's names, with torch's fused attention.
    """
    config, train = model.config, model.training
    x = F.embedding(ids, model.wte.weight) + model.wpe.weight[: ids.size(1)]
    x = F.dropout(x, config.embd_pdrop, train)
    rate = config.attn_pdrop if train else 0.0

    def attend(_: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=rate, is_causal=True)

    x = through_blocks(model, x, attend, drop=config.resid_pdrop if train else 0.0)
    return last_norm(model, x)


def fast_loss(model: Any, ids: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy that the model's own forward and F.cross_entropy would give.

    Args:
        ids, targets: (B, T), int64.
    """
    hidden = hidden_states(model, ids)
    return HeadLoss.apply(hidden.flatten(0, 1), model.lm_head.weight, targets.flatten())


def agrees(model: Any, ids: Tensor, targets: Tensor, *, tolerance: float = 1e-4) -> float:
    """How far the fast loss is from the loss of the model's own forward, in eval mode.

    Raises:
        ValueError: it is further than the tolerance, so the model is not a GPT-2 as published.
    """
    was_training = model.training
    model.eval()
    with torch.no_grad():
        own = F.cross_entropy(model(ids).flatten(0, 1), targets.flatten())
        off = float((own - fast_loss(model, ids, targets)).abs())
    model.train(was_training)
    if not off <= tolerance:
        raise ValueError(f"the fast path's loss is off by {off:.2g}, more than {tolerance:g}")
    return off
