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
    # TODO(14): about 6 lines. Tokenizer -> ids -> tensor -> batch axis
    raise NotImplementedError("problem 14: text_to_token_ids")


def token_ids_to_text(token_ids: Tensor, tokenizer: Any = None) -> str:
    """The text of (T,) or (1, T) ids; tokenizer as in text_to_token_ids."""
    # TODO(14): about 3 lines
    raise NotImplementedError("problem 14: token_ids_to_text")


def train_val_split(text: str, train_fraction: float = 0.9) -> tuple[str, str]:
    """Cut a text into its start, to train on, and the rest, to validate on.

    Raises:
        ValueError: train_fraction is not between 0 and 1.
    """
    # TODO(14): about 4 lines
    raise NotImplementedError("problem 14: train_val_split")


class SlidingWindowDataset(Dataset[tuple[Tensor, Tensor]]):
    """Windows of context_length tokens, one every stride tokens, each with its targets.

    Args:
        token_ids: (T,), or a list of T ints.

    Raises:
        ValueError: a size below 1, or too few tokens for a single window and its targets.
    """

    def __init__(self, token_ids: Tensor | Sequence[int], context_length: int, stride: int) -> None:
        # TODO(14): about 10 lines. Refuse what cannot work; keep the rest
        raise NotImplementedError("problem 14: SlidingWindowDataset.__init__")

    def __len__(self) -> int:
        """The number of windows that are full, targets included."""
        # TODO(14): about 2 lines
        raise NotImplementedError("problem 14: SlidingWindowDataset.__len__")

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Window number index: (inputs, targets), each (context_length,) int64.

        Raises:
            IndexError: there is no such window; a for loop ends by it.
        """
        # TODO(14): about 5 lines
        raise NotImplementedError("problem 14: SlidingWindowDataset.__getitem__")
