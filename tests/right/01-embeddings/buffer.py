import torch
import torch.nn as nn


class Embeddings(nn.Module):
    """Positions live in a buffer that is not saved; the sum is written over the batch explicitly."""

    def __init__(self, config):
        super().__init__()
        self.drop = nn.Dropout(p=config.embd_pdrop)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        nn.init.normal_(self.wte.weight, std=config.initializer_range)
        nn.init.normal_(self.wpe.weight, std=config.initializer_range)
        self.register_buffer("position_ids", torch.arange(config.n_positions)[None, :], persistent=False)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        if input_ids.ndim != 2:
            raise ValueError("expected 2 dimensions (batch, tokens), got %d" % input_ids.ndim)
        if input_ids.is_floating_point():
            raise TypeError("expected int64 token ids, got %s" % input_ids.dtype)
        n, limit = input_ids.size(1), self.wpe.num_embeddings
        if limit < n:
            raise ValueError("The context holds %d positions at most; you gave me %d." % (limit, n))
        if input_ids.numel() and not input_ids.is_meta:
            low, high = int(input_ids.min()), int(input_ids.max())
            if low < 0 or high >= self.wte.num_embeddings:
                raise ValueError("token ids %d..%d are outside 0..%d" % (low, high, self.wte.num_embeddings - 1))
        ids = self.position_ids[:, :n].expand(input_ids.size(0), n)
        return self.drop(torch.add(self.wte(input_ids), self.wpe(ids)))
