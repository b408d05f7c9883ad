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
        # lesson: about 7 lines. wte, wpe, drop, h, ln_f, lm_head, and the tie
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layer))
        self.ln_f = LayerNorm(config.n_embd, config.layer_norm_epsilon)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight  # one Parameter under two names

    def forward(self, input_ids: Tensor) -> Tensor:
        """(B, T) int64 -> logits (B, T, V): at each position, for the token that comes next.

        Raises:
            ValueError: T is above n_positions.
        """
        # lesson: about 8 lines. Refuse what is too long; embed; the blocks; the final norm; the head
        T, limit = input_ids.size(1), self.config.n_positions
        if T > limit:
            raise ValueError(f"a text of {T} tokens is longer than n_positions ({limit})")
        positions = torch.arange(T, device=input_ids.device)
        x = self.drop(self.wte(input_ids) + self.wpe(positions))  # (B, T, C)
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))
