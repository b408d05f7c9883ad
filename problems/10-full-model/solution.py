"""The whole of GPT-2: embeddings, a stack of blocks, a final norm, and the way back to tokens.

Shapes: B batch, T tokens, C n_embd, V vocab_size.
"""

import torch
from torch import Tensor, nn

from common import problem

GPT2Config = problem(9).GPT2Config
LayerNorm = problem(7).LayerNorm
TransformerBlock = problem(8).TransformerBlock


class GPT2Model(nn.Module):
    """Token ids in, a score for every possible next token out.

    Source: "Language Models are Unsupervised Multitask Learners", section 2.3; openai/gpt-2,
    src/model.py, `model`.
    """

    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.config = config
        # TODO(10): about 7 lines. wte, wpe, drop, h, ln_f, lm_head, and the tie
        raise NotImplementedError("problem 10: GPT2Model.__init__")

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) int64 -> logits (B, T, V): at each position, for the token that comes next.

        Raises:
            ValueError: T is above n_positions.
        """
        # TODO(10): about 8 lines. Refuse what is too long; embed; the blocks; the final norm; the head
        raise NotImplementedError("problem 10: GPT2Model.forward")
