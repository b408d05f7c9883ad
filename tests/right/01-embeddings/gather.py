"""Rows gathered from both tables at once, laid under each other; a mask of its own for dropout, drawn with bernoulli_."""

import torch
from torch import nn


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.rate, self.limit = config.embd_pdrop, config.n_positions
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)

    def forward(self, input_ids):
        (B, T), limit = input_ids.shape, self.limit
        if not T <= limit:
            raise ValueError(f"n_positions={limit} is less than T={T}")
        table = torch.cat([self.wte.weight, self.wpe.weight])
        places = self.wte.num_embeddings + torch.arange(T, device=input_ids.device)
        both = torch.stack([input_ids, places.repeat(B, 1)])  # (2, B, T)
        C = table.size(1)
        rows = table.gather(0, both.reshape(-1, 1).expand(-1, C)).reshape(2, B, T, C)
        x = rows[0] + rows[1]
        if self.training and self.rate > 0:
            keep = torch.empty_like(x).bernoulli_(1 - self.rate)
            x = x * keep / (1 - self.rate)
        return x
