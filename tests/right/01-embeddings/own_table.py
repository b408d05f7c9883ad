"""An own embedding class, positions from a cumulative sum, own dropout."""

import torch
from torch import nn


class Table(nn.Module):
    def __init__(self, rows, width):
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(rows, width))

    def forward(self, index):
        return self.weight.index_select(0, index.reshape(-1)).reshape(*index.shape, -1)


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = Table(config.vocab_size, config.n_embd)
        self.wpe = Table(config.n_positions, config.n_embd)

    def _drop(self, x):
        rate = self.config.embd_pdrop
        if not self.training or rate == 0:
            return x
        return torch.where(torch.rand_like(x) < rate, 0.0, x / (1 - rate))

    def forward(self, input_ids):
        positions = torch.ones_like(input_ids).cumsum(dim=-1) - 1
        if positions.max() >= self.config.n_positions:
            raise ValueError(
                f"input of shape {tuple(input_ids.shape)} is longer than {self.config.n_positions} positions"
            )
        return self._drop(torch.add(self.wte(input_ids), self.wpe(positions)))
