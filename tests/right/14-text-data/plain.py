"""Text to token ids, plain version."""
import torch
from torch.utils.data import Dataset

from common import gpt2_tokenizer


def text_to_token_ids(text, tokenizer=None, add_batch_dim=True):
    if tokenizer is None:
        ids = gpt2_tokenizer().encode(text, allowed_special={"<|endoftext|>"})
    else:
        ids = tokenizer.encode(text)
    token_ids = torch.tensor(ids, dtype=torch.long)
    return token_ids.unsqueeze(0) if add_batch_dim else token_ids


def token_ids_to_text(token_ids, tokenizer=None):
    if tokenizer is None:
        tokenizer = gpt2_tokenizer()
    return tokenizer.decode(token_ids.reshape(-1).tolist())


def train_val_split(text, train_fraction=0.9):
    if not 0 < train_fraction < 1:
        raise ValueError(f"train_fraction is {train_fraction}, but must lie between 0 and 1")
    split = int(len(text) * train_fraction)
    return text[:split], text[split:]


class SlidingWindowDataset(Dataset):
    def __init__(self, token_ids, context_length, stride):
        if context_length < 1:
            raise ValueError(f"context_length is {context_length}, but must be at least 1")
        if stride < 1:
            raise ValueError(f"stride is {stride}, but must be at least 1")
        if len(token_ids) < context_length + 1:
            raise ValueError(f"{len(token_ids)} tokens are too few, context_length {context_length} needs {context_length + 1}")
        self.token_ids = torch.as_tensor(token_ids, dtype=torch.long)
        self.context_length = context_length
        self.starts = list(range(0, len(token_ids) - context_length, stride))

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, index):
        start = self.starts[index]
        end = start + self.context_length
        return self.token_ids[start:end], self.token_ids[start + 1 : end + 1]
