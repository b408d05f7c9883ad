"""Tensor.unfold makes the windows; no Dataset as base; try and except for the special token."""
import torch

from common import gpt2_tokenizer

END = "<|endoftext|>"


def _tok(tokenizer):
    return gpt2_tokenizer() if tokenizer is None else tokenizer


def text_to_token_ids(text, tokenizer=None, add_batch_dim=True):
    try:
        ids = _tok(tokenizer).encode(text, allowed_special={END})
    except TypeError:
        ids = _tok(tokenizer).encode(text)
    shape = (1, -1) if add_batch_dim else (-1,)
    return torch.LongTensor(ids).view(shape) if ids else torch.zeros(1, 0).long().view((1, 0)[: len(shape)])


def token_ids_to_text(token_ids, tokenizer=None):
    return _tok(tokenizer).decode([int(i) for i in token_ids.reshape(-1)])


def train_val_split(text, train_fraction=0.9):
    if not (train_fraction > 0 and train_fraction < 1):
        raise ValueError(train_fraction)
    n = int(len(text) * train_fraction)
    train = text[0:n]
    return [train, text.removeprefix(train)]


class SlidingWindowDataset:
    def __init__(self, token_ids, context_length, stride):
        if min(context_length, stride) < 1:
            raise ValueError("sizes must be positive, got context_length=%d, stride=%d" % (context_length, stride))
        ids = token_ids.clone().long() if torch.is_tensor(token_ids) else torch.tensor(list(token_ids), dtype=torch.long)
        if ids.numel() <= context_length:
            raise ValueError("%d tokens, but a window of %d needs one more" % (ids.numel(), context_length))
        self.windows = ids.unfold(0, context_length + 1, stride)  # (number, context_length + 1)

    def __len__(self):
        return self.windows.size(0)

    def __getitem__(self, i):
        if i < 0 or i >= len(self):
            raise IndexError(i)
        row = self.windows[i]
        return [row[:-1].clone(), row[1:].clone()]
