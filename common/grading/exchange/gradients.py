"""Gradients through the other side: it keeps the graph of each call, and is asked in backward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .wire import Over

if TYPE_CHECKING:
    from .peer import Peer


class Tie(torch.autograd.Function):
    """Ties a result of the other side into this side's graph.

    Args:
        call, index: which call it is of, and which of its results.
        result: the tensor, in a list, as it is no input of this graph.
        inputs: all that it may depend on.
    """

    @staticmethod
    def forward(
        ctx: Any, peer: Peer, call: int, index: int, result: list[Tensor], *inputs: Tensor
    ) -> Tensor:
        ctx.question = peer, call, index
        ctx.forms = [(t.shape, t.dtype) for t in inputs]
        return result[0]

    @staticmethod
    def backward(ctx: Any, *gradient: Tensor) -> Any:
        peer, call, index = ctx.question
        found = peer.ask("backward", call, index, gradient[0].contiguous())
        fit = (
            isinstance(found, list)
            and len(found) == len(ctx.forms)
            and all(map(_fits, found, ctx.forms))
        )
        if not fit:
            raise Over("rules", "gradients of other shapes than the inputs")
        return None, None, None, None, *found


def _fits(gradient: Any, form: Any) -> bool:
    return gradient is None or (
        isinstance(gradient, Tensor) and (gradient.shape, gradient.dtype) == form
    )
