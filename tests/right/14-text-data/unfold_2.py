"""Windows by Tensor.unfold, lazily computed places; fractions only strictly between 0 and 1."""
from functools import partial

import torch

import common


def _tokenizer(tokenizer):
    if tokenizer is not None:
        return tokenizer.encode, tokenizer.decode
    default = common.gpt2_tokenizer()
    return partial(default.encode, allowed_special="all"), default.decode


def text_to_token_ids(text, tokenizer=None, add_batch_dim=True):
    encode, _ = _tokenizer(tokenizer)
    ids = torch.LongTensor(list(encode(text)))
    return ids[None] if add_batch_dim else ids


def token_ids_to_text(token_ids, tokenizer=None):
    _, decode = _tokenizer(tokenizer)
    row = token_ids[0] if token_ids.dim() == 2 else token_ids
    return decode([int(i) for i in row])


def train_val_split(text, train_fraction=0.9):
    if train_fraction <= 0 or train_fraction >= 1:
        raise ValueError(f"cannot split at {train_fraction}: has to be above 0 and below 1")
    at = int(len(text) * train_fraction)
    return (text[:at], text[at:])


class SlidingWindowDataset(torch.utils.data.Dataset):
    def __init__(self, token_ids, context_length, stride):
        super().__init__()
        ids = token_ids.detach().clone().long() if isinstance(token_ids, torch.Tensor) else torch.tensor(list(token_ids), dtype=torch.int64)
        for name, value in (("context_length", context_length), ("stride", stride)):
            if value <= 0:
                raise ValueError(f"{name}={value} is below 1")
        if ids.numel() <= context_length:
            raise ValueError(f"need more than {context_length} tokens, got {ids.numel()}")
        self.windows = ids.unfold(0, context_length + 1, stride)  # (N, context_length + 1), a view

    def __len__(self):
        return self.windows.size(0)

    def __getitem__(self, i):
        if i >= len(self):
            raise IndexError(i)
        window = self.windows[i]
        return window[:-1], window[1:]
