"""All windows made at once and kept in lists; Python's own indexing."""
import torch
from torch.utils.data import Dataset

from common import gpt2_tokenizer


def text_to_token_ids(text, tokenizer=None, add_batch_dim=True):
    if tokenizer is None:
        encoded = gpt2_tokenizer().encode(text, allowed_special="all")
    else:
        encoded = tokenizer.encode(text)
    t = torch.tensor(encoded, dtype=torch.long)
    if add_batch_dim:
        return t[None]
    return t


def token_ids_to_text(token_ids, tokenizer=None):
    flat = token_ids.squeeze(0) if token_ids.dim() == 2 else token_ids
    return (gpt2_tokenizer() if tokenizer is None else tokenizer).decode(flat.tolist())


def train_val_split(text, train_fraction=0.9):
    if train_fraction <= 0 or train_fraction >= 1:
        raise ValueError("train_fraction must be strictly between 0 and 1")
    split_idx = int(train_fraction * len(text))
    train_data = text[:split_idx]
    val_data = text[split_idx:]
    return train_data, val_data


class SlidingWindowDataset(Dataset):
    def __init__(self, token_ids, context_length, stride):
        if context_length < 1:
            raise ValueError("context_length must be positive")
        if stride < 1:
            raise ValueError("stride must be positive")
        if len(token_ids) <= context_length:
            raise ValueError(f"need at least {context_length + 1} tokens, got {len(token_ids)}")
        if isinstance(token_ids, torch.Tensor):
            token_ids = token_ids.tolist()
        self.input_ids, self.target_ids = [], []
        for i in range(0, len(token_ids) - context_length, stride):
            self.input_ids.append(torch.tensor(token_ids[i : i + context_length]))
            self.target_ids.append(torch.tensor(token_ids[i + 1 : i + context_length + 1]))

    def __len__(self):
        return len(self.input_ids)

    def __getitem__(self, idx):
        return self.input_ids[idx], self.target_ids[idx]
