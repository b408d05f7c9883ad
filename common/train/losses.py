"""What one batch costs: by the model's own forward, or by the fast path on the same parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from common.train.fast_loss import fast_loss


class Loss(nn.Module):
    """Ids and targets, (B, T) each, to a scalar."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.layers: Callable[[Tensor], Any] = model

    def compile_layers(self, wanted: bool) -> None:
        """Let torch.compile have the model, or take it back; the loss itself stays as it is."""
        self.layers = torch.compile(self.model) if wanted else self.model


class PlainLoss(Loss):
    """Through the model's own forward."""

    def __init__(self, model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__(model)
        self.loss = loss

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return self.loss(self.layers(inputs), targets)


class FastLoss(Loss):
    """Through the fused path; the caller has exchanged the model's layers."""

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        return fast_loss(self.model, inputs, targets, self.layers)
