"""The feed-forward layer: what each token thinks about by itself.

Shapes: B batch, T tokens, C n_embd.
"""

import math

import torch
from torch import Tensor, nn

from common import GPT2Config


def gelu(x: Tensor) -> Tensor:
    """GPT-2's activation, the tanh approximation of GELU; any shape, element by element.

    Source: Hendrycks and Gimpel, "Gaussian Error Linear Units", section 2; openai/gpt-2,
    src/model.py, `gelu`.
    """
    # TODO(06): about 1 line. The formula, written out
    raise NotImplementedError("problem 06: gelu")


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, applied to each token alone.

    Source: "Attention Is All You Need", section 3.3; layer names as in OpenAI's GPT-2.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        # TODO(06): about 3 lines. c_fc, c_proj, dropout
        raise NotImplementedError("problem 06: FeedForward.__init__")

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # TODO(06): about 1 line
        raise NotImplementedError("problem 06: FeedForward.forward")
