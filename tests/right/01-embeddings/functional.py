"""Functional lookups and dropout, a position buffer, nested helper."""

import torch
import torch.nn.functional as F
from torch import nn


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.p = config.embd_pdrop
        self.n_positions = config.n_positions
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.register_buffer("position_ids", torch.arange(config.n_positions).unsqueeze(0))

    def forward(self, input_ids):
        batch, length = input_ids.shape
        if length > self.n_positions:
            raise ValueError("sequence of %d tokens, but at most %d" % (length, self.n_positions))
        positions = self.position_ids[:, :length]
        x = F.embedding(input_ids, self.wte.weight) + F.embedding(positions, self.wpe.weight)
        return F.dropout(x, p=self.p, training=self.training)
