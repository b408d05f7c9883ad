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
        # lesson: about 3 lines. eps, and the parameters weight and bias
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(n_embd))
        self.bias = nn.Parameter(torch.zeros(n_embd))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C), over the last axis."""
        # lesson: about 3 lines. Centre, variance, then the formula
        centred = x - x.mean(dim=-1, keepdim=True)
        variance = centred.square().mean(dim=-1, keepdim=True)
        return centred / torch.sqrt(variance + self.eps) * self.weight + self.bias


def pre_norm_residual(
    x: Tensor, norm: Callable[[Tensor], Tensor], sublayer: Callable[[Tensor], Tensor]
) -> Tensor:
    """(B, T, C) -> (B, T, C): x plus what the sublayer makes of the normalised x.

    Source: "Language Models are Unsupervised Multitask Learners", section 2.3.
    """
    # lesson: 1 line
    return x + sublayer(norm(x))
