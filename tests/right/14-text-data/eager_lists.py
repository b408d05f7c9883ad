"""Everything cut at construction into lists of tensors; no Dataset base class is needed for a DataLoader."""
import math

import torch

from common import gpt2_tokenizer

END = "<|endoftext|>"


def text_to_token_ids(text, tokenizer=None, add_batch_dim=True):
    if tokenizer is None:
        coder = gpt2_tokenizer()
        ids = []
        for number, segment in enumerate(text.split(END)):
            if number:
                ids.append(50256)
            ids += coder.encode_ordinary(segment)
    else:
        ids = tokenizer.encode(text)
    shape = (1, len(ids)) if add_batch_dim else (len(ids),)
    return torch.tensor(ids, dtype=torch.int64).view(shape)


def token_ids_to_text(token_ids, tokenizer=None):
    return (gpt2_tokenizer() if tokenizer is None else tokenizer).decode(token_ids.flatten().cpu().numpy().tolist())


def train_val_split(text, train_fraction=0.9):
    if train_fraction <= 0.0 or 1.0 <= train_fraction:
        raise ValueError("train_fraction %s is outside of (0, 1)" % train_fraction)
    first = math.floor(len(text) * train_fraction)
    return [text[:first], text[first:]]


class SlidingWindowDataset:
    def __init__(self, token_ids, context_length, stride):
        if min(context_length, stride) < 1:
            raise ValueError(f"context_length {context_length} and stride {stride} have to be 1 or more")
        ids = torch.as_tensor(token_ids).to(torch.int64)
        self.pairs = []
        start = 0
        while start + context_length + 1 <= len(ids):
            inputs = ids[start : start + context_length].clone()
            targets = torch.stack([ids[start + k + 1] for k in range(context_length)])
            self.pairs.append((inputs, targets))
            start += stride
        if not self.pairs:
            raise ValueError(f"{len(ids)} tokens hold no window of {context_length} + 1")

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        return self.pairs[index]
