"""Items are a NamedTuple; inputs and targets lie in two tensors of their own, one of them shifted as a whole."""
from typing import NamedTuple

import torch
from torch.utils.data import Dataset

import common


class Item(NamedTuple):
    inputs: torch.Tensor
    targets: torch.Tensor


def text_to_token_ids(text, tokenizer=None, add_batch_dim=True):
    match tokenizer:
        case None:
            ids = common.gpt2_tokenizer().encode(text, allowed_special="all")
        case _:
            ids = tokenizer.encode(text)
    out = torch.empty(len(ids), dtype=torch.long)
    for place, token in enumerate(ids):
        out[place] = token
    if not add_batch_dim:
        return out
    return out.reshape(1, -1)


def token_ids_to_text(token_ids, tokenizer=None):
    if tokenizer is None:
        tokenizer = common.gpt2_tokenizer()
    ids = []
    for token in token_ids.reshape(-1):
        ids.append(token.item())
    return tokenizer.decode(ids)


def train_val_split(text, train_fraction=0.9):
    try:
        assert 0 < train_fraction < 1
    except AssertionError:
        raise ValueError(f"train_fraction is {train_fraction}") from None
    train = text[: int(len(text) * train_fraction)]
    return train, text.removeprefix(train)


class SlidingWindowDataset(Dataset):
    def __init__(self, token_ids, context_length, stride):
        if context_length < 1 or stride < 1:
            raise ValueError(f"context_length ({context_length}) and stride ({stride}) have to be positive")
        self.text = token_ids.clone().to(torch.int64)
        self.next = self.text.roll(-1)[:-1]  # what comes after each token that has a successor
        self.size, self.stride = context_length, stride
        self.count = sum(1 for _ in range(0, len(self.next) - context_length + 1, stride))
        if self.count == 0:
            raise ValueError("%d tokens do not fill a window of %d and a target" % (len(token_ids), context_length))

    def __len__(self):
        return self.count

    def __getitem__(self, number):
        number = range(self.count)[number]  # refuses what is too large, counts from the end below 0
        places = torch.arange(self.size) + number * self.stride
        return Item(self.text[places], self.next[places])
