"""A tensor of zeros that is filled in place: the positions first, then each text of the batch by itself."""

import torch
import torch.nn.functional as F
from torch import nn


class Embeddings(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.wte, self.wpe = (nn.Embedding(n, config.n_embd) for n in (config.vocab_size, config.n_positions))
        self.drop = nn.Dropout(config.embd_pdrop, inplace=True)

    def _check(self, length):
        if length > self.wpe.num_embeddings:
            raise ValueError(
                "the text has {} tokens and there are {} positions".format(length, self.wpe.num_embeddings)
            )

    def forward(self, input_ids):
        length = input_ids.shape[1]
        self._check(length)
        out = self.wte.weight.new_zeros(*input_ids.shape, self.wte.embedding_dim)
        out += self.wpe.weight[None, :length]
        for row, ids in enumerate(input_ids):
            out[row] = out[row] + F.embedding(ids, self.wte.weight)
        return self.drop(out)
