"""Token and position embeddings: how text enters the model.

Shapes: B batch, T tokens, C n_embd, V vocab_size.
"""

import torch
from torch import Tensor, nn

from common import GPT2Config


class Embeddings(nn.Module):
    """Turns token ids into vectors that know what the token is and where it stands.

    Source: "Improving Language Understanding by Generative Pre-Training", section 3.1, equation 2;
    openai/gpt-2, src/model.py, `model`.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        # TODO(01): about 4 lines. The two tables wte and wpe, and the dropout drop
        raise NotImplementedError("problem 01: Embeddings.__init__")

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) int64 -> (B, T, C).

        Raises:
            ValueError: T is above n_positions.
        """
        # TODO(01): about 5 lines. Refuse a text that is too long; add the two embeddings; dropout
        raise NotImplementedError("problem 01: Embeddings.forward")
