import torch
import torch.nn as nn
import torch.nn.functional as F

from common import GPT2Config


def check_ids(ids: torch.Tensor, vocab_size: int, n_positions: int) -> None:
    length = ids.shape[-1]
    if length > n_positions:
        raise ValueError(f"T={length}, but T may be {n_positions} at most")
    for bad in ids[(ids < 0) | (ids >= vocab_size)].tolist():
        raise ValueError(f"id {bad} is not in range(0, {vocab_size})")


class Embeddings(nn.Module):
    def __init__(self, config: GPT2Config) -> None:
        super().__init__()
        self.n_positions, self.vocab_size = config.n_positions, config.vocab_size
        self.wte, self.wpe = (nn.Embedding(n, config.n_embd) for n in (config.vocab_size, config.n_positions))
        self.drop = nn.Dropout(config.embd_pdrop)

    def forward(self, input_ids):
        check_ids(input_ids, self.vocab_size, self.n_positions)
        columns = []
        for t in range(input_ids.shape[1]):
            token_rows = F.one_hot(input_ids[:, t], self.vocab_size).to(self.wte.weight.dtype) @ self.wte.weight
            columns.append(token_rows + self.wpe.weight[t])
        return self.drop(torch.stack(columns, dim=1))
