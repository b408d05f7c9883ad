"""Text as data: from a text to ids and back, and to windows of ids that a model learns from.

Shapes: T tokens.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from common import gpt2_tokenizer


def text_to_token_ids(text: str, tokenizer: Any = None, add_batch_dim: bool = True) -> Tensor:
    """The ids of a text, int64: (1, T), as a model takes them, or (T,).

    Args:
        tokenizer: anything with encode(text) and decode(ids); None means GPT-2's, for which
            <|endoftext|> in the text is the one token 50256.
    """
    # lesson: about 6 lines. Tokenizer -> ids -> tensor -> batch axis
    if tokenizer is None:
        # tiktoken refuses a text with special tokens in it, unless they are allowed by name.
        ids = gpt2_tokenizer().encode(text, allowed_special={"<|endoftext|>"})
    else:
        ids = tokenizer.encode(text)
    token_ids = torch.tensor(ids, dtype=torch.int64)  # without the dtype no ids at all are floats
    return token_ids.unsqueeze(0) if add_batch_dim else token_ids


def token_ids_to_text(token_ids: Tensor, tokenizer: Any = None) -> str:
    """The text of (T,) or (1, T) ids; tokenizer as in text_to_token_ids."""
    # lesson: about 3 lines
    if tokenizer is None:
        tokenizer = gpt2_tokenizer()
    return tokenizer.decode(token_ids.flatten().tolist())


def train_val_split(text: str, train_fraction: float = 0.9) -> tuple[str, str]:
    """Cut a text into its start, to train on, and the rest, to validate on.

    Raises:
        ValueError: train_fraction is not between 0 and 1.
    """
    # lesson: about 4 lines
    if not 0 < train_fraction < 1:
        raise ValueError(f"train_fraction ({train_fraction}) must lie between 0 and 1")
    cut = int(len(text) * train_fraction)
    return text[:cut], text[cut:]


class SlidingWindowDataset(Dataset[tuple[Tensor, Tensor]]):
    """Windows of context_length tokens, one every stride tokens, each with its targets.

    Args:
        token_ids: (T,), or a list of T ints.

    Raises:
        ValueError: a size below 1, or too few tokens for a single window and its targets.
    """

    def __init__(self, token_ids: Tensor | Sequence[int], context_length: int, stride: int) -> None:
        # lesson: about 10 lines. Refuse what cannot work; keep the rest
        for name, size in (("context_length", context_length), ("stride", stride)):
            if size < 1:
                raise ValueError(f"{name} ({size}) must be at least 1")
        if len(token_ids) < context_length + 1:
            raise ValueError(
                f"{len(token_ids)} tokens are too few for context_length {context_length}: "
                "a window and the target of its last token take one more than that"
            )
        self.token_ids = torch.as_tensor(token_ids, dtype=torch.int64)
        self.context_length = context_length
        self.stride = stride

    def __len__(self) -> int:
        """The number of windows that are full, targets included."""
        # lesson: about 2 lines
        last_start = len(self.token_ids) - self.context_length - 1
        return last_start // self.stride + 1

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Window number index: (inputs, targets), each (context_length,) int64.

        Raises:
            IndexError: there is no such window; a for loop ends by it.
        """
        # lesson: about 5 lines
        if not 0 <= index < len(self):
            raise IndexError(f"there is no window {index} among {len(self)}")
        start = index * self.stride
        window = self.token_ids[start : start + self.context_length + 1]
        return window[:-1], window[1:]
