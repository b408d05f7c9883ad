import torch
from torch import nn

from common import GPT2Config


class Embeddings(nn.Module):
    def __init__(self, config: GPT2Config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)

    def forward(self, input_ids):
        B, T = input_ids.shape
        if T > self.config.n_positions:
            raise ValueError(f"sequence length {T} is greater than n_positions={self.config.n_positions}")
        positions = torch.arange(T, device=input_ids.device)
        try:
            tokens = self.wte(input_ids)
        except IndexError:
            raise ValueError(f"token ids run from {input_ids.min()} to {input_ids.max()}, allowed: 0..{self.config.vocab_size - 1}")
        hidden = tokens + self.wpe(positions)
        return self.drop(hidden)
