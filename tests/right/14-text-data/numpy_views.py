"""numpy makes the windows; items come from one table of pairs, and negative indices count from the end."""
import numpy as np
import torch

from common import gpt2_tokenizer

SPECIAL = "<|endoftext|>"


class _Gpt2:
    def encode(self, text):
        return gpt2_tokenizer().encode(text, allowed_special={SPECIAL}, disallowed_special=())

    def decode(self, ids):
        return gpt2_tokenizer().decode(ids)


def text_to_token_ids(text, tokenizer=None, add_batch_dim=True):
    ids = np.fromiter((tokenizer if tokenizer is not None else _Gpt2()).encode(text), dtype=np.int64)
    return torch.from_numpy(np.atleast_2d(ids) if add_batch_dim else ids)


def token_ids_to_text(token_ids, tokenizer=None):
    chosen = _Gpt2() if tokenizer is None else tokenizer
    return chosen.decode(np.ravel(token_ids.numpy()).tolist())


def train_val_split(text, train_fraction=0.9):
    if not 0.0 < train_fraction < 1.0:
        raise ValueError(f"train_fraction={train_fraction!r}: expected a number between 0 and 1")
    characters = list(text)
    size = int(len(characters) * train_fraction)
    return "".join(characters[:size]), "".join(characters[size:])


class SlidingWindowDataset(torch.utils.data.Dataset):
    def __init__(self, token_ids, context_length, stride):
        for size in (context_length, stride):
            if size <= 0:
                raise ValueError("context_length and stride are at least 1")
        needed, there = context_length + 1, len(token_ids)
        if there < needed:
            raise ValueError(f"a window needs {needed} tokens, and there are {there}")
        views = np.lib.stride_tricks.sliding_window_view(np.array(token_ids, dtype=np.int64), needed)
        self.table = torch.from_numpy(views[::stride].copy())  # (N, context_length + 1)

    def __len__(self):
        return self.table.shape[0]

    def __getitem__(self, index):
        row = self.table[index]
        return row[:-1], row[1:]
