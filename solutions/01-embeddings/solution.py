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
        # lesson: about 4 lines. The two tables wte and wpe, and the dropout drop
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) int64 -> (B, T, C).

        Raises:
            ValueError: T is above n_positions.
        """
        # lesson: about 5 lines. Refuse a text that is too long; add the two embeddings; dropout
        T, limit = input_ids.size(1), self.config.n_positions
        if T > limit:
            raise ValueError(f"a text of {T} tokens is longer than n_positions ({limit})")
        positions = torch.arange(T, device=input_ids.device)
        return self.drop(self.wte(input_ids) + self.wpe(positions))  # (B, T, C) + (T, C)
