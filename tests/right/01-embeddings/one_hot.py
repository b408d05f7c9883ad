"""Matrix products with one-hot rows, positions expanded over the batch."""

import torch
import torch.nn.functional as F
from torch import nn


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.drop = nn.Dropout(config.embd_pdrop)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)

    def forward(self, input_ids):
        B, T = input_ids.size()
        n = self.wpe.num_embeddings
        if T > n:
            raise ValueError(f"Cannot embed {T} tokens: only {n} positions")
        tokens = F.one_hot(input_ids, self.wte.num_embeddings).to(self.wte.weight.dtype) @ self.wte.weight
        places = torch.arange(0, T, dtype=torch.long, device=input_ids.device).expand(B, T)
        return self.drop(torch.stack([tokens, self.wpe(places)]).sum(0))
