"""One token at a time from the raw weights; the long text noticed by catching the lookup's own error."""

import torch
from torch import nn


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        C = config.n_embd
        self.drop = nn.Dropout(config.embd_pdrop, inplace=True)
        self.wpe, self.wte = nn.Embedding(config.n_positions, C), nn.Embedding(config.vocab_size, C)

    def forward(self, input_ids):
        T = input_ids.size(1)
        columns = []
        for t in range(T):
            try:
                place = self.wpe.weight[t]
            except IndexError as error:
                raise ValueError(
                    f"Sequence length ({T}) exceeds the maximum context length ({len(self.wpe.weight)})."
                ) from error
            columns.append(self.wte.weight[input_ids[:, t]] + place)
        return self.drop(torch.stack(columns, dim=1))
