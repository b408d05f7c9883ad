"""A range of starts, which also knows negative indices; numbers of bytes nowhere."""
from typing import Iterable

import torch
from torch import Tensor
from torch.utils.data import Dataset

import common


class _GPT2:
    def __init__(self):
        self.inner = common.gpt2_tokenizer()

    def encode(self, text: str) -> list:
        out = []
        for number, part in enumerate(text.split("<|endoftext|>")):
            if number:
                out.append(50256)
            out.extend(self.inner.encode_ordinary(part))
        return out

    def decode(self, ids: Iterable[int]) -> str:
        return self.inner.decode(list(ids))


def text_to_token_ids(text: str, tokenizer=None, add_batch_dim: bool = True) -> Tensor:
    tokenizer = tokenizer if tokenizer is not None else _GPT2()
    ids = torch.as_tensor(tokenizer.encode(text), dtype=torch.long)
    return ids.reshape(1, -1) if add_batch_dim else ids


def token_ids_to_text(token_ids: Tensor, tokenizer=None) -> str:
    tokenizer = tokenizer if tokenizer is not None else _GPT2()
    if token_ids.ndim == 2:
        if token_ids.size(0) != 1:
            raise ValueError(f"one text at a time, not {token_ids.size(0)}")
        token_ids = token_ids[0]
    return tokenizer.decode(tuple(token_ids.cpu().numpy().tolist()))


def train_val_split(text: str, train_fraction: float = 0.9):
    if train_fraction <= 0.0:
        raise ValueError(f"train_fraction is {train_fraction}: nothing to train on")
    if train_fraction >= 1.0:
        raise ValueError(f"train_fraction is {train_fraction}: nothing to validate on")
    size = int(len(text) * train_fraction)
    return "".join(c for i, c in enumerate(text) if i < size), "".join(c for i, c in enumerate(text) if i >= size)


class SlidingWindowDataset(Dataset):
    def __init__(self, token_ids, context_length: int, stride: int):
        super().__init__()
        if context_length <= 0 or stride <= 0:
            raise ValueError("context_length and stride start at 1")
        self.ids = torch.tensor(token_ids.tolist() if isinstance(token_ids, Tensor) else token_ids, dtype=torch.long)
        self.n = context_length
        self.starts = range(0, len(self.ids) - self.n, stride)
        if not self.starts:
            raise ValueError(f"context_length={context_length} does not fit into {len(self.ids)} tokens")

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, index):
        i = self.starts[index]
        return self.ids.narrow(0, i, self.n), self.ids.narrow(0, i + 1, self.n)
