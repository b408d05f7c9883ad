"""The number of windows counted in a loop; items gathered by index; a generator of pairs for iteration."""
from torch import Tensor, arange, int64, tensor
from torch.utils.data import Dataset

from common import gpt2_tokenizer, problem


class DefaultTokenizer:
    def __init__(self):
        base = gpt2_tokenizer()
        self.decode = base.decode
        self.encode = lambda text: base.encode(text, allowed_special=base.special_tokens_set)


def text_to_token_ids(text, tokenizer=None, add_batch_dim=True):
    tokenizer = DefaultTokenizer() if tokenizer is None else tokenizer
    ids = tokenizer.encode(text)
    return tensor([ids] if add_batch_dim else ids, dtype=int64)


def token_ids_to_text(token_ids, tokenizer=None):
    tokenizer = DefaultTokenizer() if tokenizer is None else tokenizer
    ids = token_ids.tolist()
    while ids and isinstance(ids[0], list):
        ids = ids[0]
    return tokenizer.decode(ids)


def train_val_split(text, train_fraction=0.9):
    if 0 < train_fraction < 1:
        border = int(len(text) * train_fraction)
        parts = text[:border], text[border:]
        return parts
    raise ValueError(f"{train_fraction=}: choose a number between 0 and 1")


class SlidingWindowDataset(Dataset):
    def __init__(self, token_ids, context_length, stride):
        if not isinstance(token_ids, Tensor):
            token_ids = tensor(token_ids, dtype=int64)
        for value in (context_length, stride):
            if value < 1:
                raise ValueError(f"{value} is below 1")
        self.data, self.context_length, self.stride = token_ids.long(), context_length, stride
        self.count = 0
        while self.count * stride + context_length + 1 <= token_ids.numel():
            self.count += 1
        if self.count == 0:
            raise ValueError(f"only {token_ids.numel()} tokens, {context_length + 1} are the least")

    def __len__(self):
        return self.count

    def __iter__(self):
        return (self[i] for i in range(self.count))

    def __getitem__(self, index):
        if index < 0:
            index += self.count
        if index < 0 or index >= self.count:
            raise IndexError(f"index {index} out of range")
        places = index * self.stride + arange(self.context_length)
        return self.data[places], self.data[places + 1]
