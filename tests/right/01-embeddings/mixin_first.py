"""A class of its own before nn.Module among the bases, whose constructor calls nn.Module's by its name."""

import torch
from torch import nn


class Refuses:
    limit = 0

    def refuse(self, length):
        if length > self.limit:
            raise ValueError(f"{length} tokens, but there are {self.limit} positions")


class Embeddings(Refuses, nn.Module):
    def __init__(self, config):
        nn.Module.__init__(self)
        self.limit = config.n_positions
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        for table, std in ((self.wte, 0.02), (self.wpe, 0.01)):
            nn.init.normal_(table.weight, mean=0.0, std=std)
        self.drop = nn.Dropout(config.embd_pdrop)

    def forward(self, input_ids):
        self.refuse(input_ids.size(1))
        places = torch.arange(input_ids.size(1), device=input_ids.device)
        return self.drop(self.wte(input_ids) + self.wpe(places))
