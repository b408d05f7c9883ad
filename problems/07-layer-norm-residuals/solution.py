"""Layer norm and residual connections: what makes a deep stack trainable.

Shapes: B batch, T tokens, C n_embd.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class LayerNorm(nn.Module):
    """Gives each token's vector mean 0 and variance 1, then a learned scale and shift.

    Source: Ba, Kiros and Hinton, "Layer Normalization", section 3; openai/gpt-2, src/model.py, `norm`.
    """

    def __init__(self, n_embd: int, eps: float = 1e-5) -> None:
        super().__init__()
        # TODO(07): about 3 lines. eps, and the parameters weight and bias
        raise NotImplementedError("problem 07: LayerNorm.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C), over the last axis."""
        # TODO(07): about 3 lines. Centre, variance, then the formula
        raise NotImplementedError("problem 07: LayerNorm.forward")


def pre_norm_residual(
    x: Tensor, norm: Callable[[Tensor], Tensor], sublayer: Callable[[Tensor], Tensor]
) -> Tensor:
    """(B, T, C) -> (B, T, C): x plus what the sublayer makes of the normalised x.

    Source: "Language Models are Unsupervised Multitask Learners", section 2.3.
    """
    # TODO(07): 1 line
    raise NotImplementedError("problem 07: pre_norm_residual")
