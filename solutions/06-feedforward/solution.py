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
    # lesson: about 1 line. The formula, written out
    return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


class FeedForward(nn.Module):
    """Two linear layers with a GELU between them, applied to each token alone.

    Source: "Attention Is All You Need", section 3.3; layer names as in OpenAI's GPT-2.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        # lesson: about 3 lines. c_fc, c_proj, dropout
        self.c_fc = nn.Linear(config.n_embd, config.n_inner)
        self.c_proj = nn.Linear(config.n_inner, config.n_embd)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, C) -> (B, T, C)."""
        # lesson: about 1 line
        return self.dropout(self.c_proj(gelu(self.c_fc(x))))
