"""GPT-2's tokenizer: byte-pair encoding, learned from one text and applied to any other.

A token is a string of bytes. Its rank is its place in the order of learning, and its id.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

import regex

# Source: openai/gpt-2, src/encoder.py. The README explains it alternative by alternative.
PATTERN = regex.compile(
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
)


def train_bpe(text: str, vocab_size: int) -> dict[bytes, int]:
    """Learn a vocabulary: the 256 bytes, and then merges, the most frequent pair first.

    Of pairs that are equally frequent, the one met first in the text is merged. Merges never cross
    the pieces that PATTERN cuts the text into.

    Returns:
        The rank of each token; fewer than vocab_size where no pair is left.

    Raises:
        ValueError: vocab_size is below 256.
    """
    # TODO(13): about 15 lines. Refuse; bytes; pieces; then count, choose, merge, and again
    raise NotImplementedError("problem 13: train_bpe")


class BPETokenizer:
    """Text to ids and back, as tiktoken does it.

    Args:
        mergeable_ranks: the rank of each token, all 256 single bytes among them, in any order.
        special_tokens: the id of each text that is one token wherever it stands.
    """

    def __init__(
        self, mergeable_ranks: dict[bytes, int], special_tokens: dict[str, int] | None = None
    ) -> None:
        # TODO(13): about 6 lines. What encode and decode look things up in
        raise NotImplementedError("problem 13: BPETokenizer.__init__")

    def encode(self, text: str) -> list[int]:
        """The ids of a text; special tokens in it become their own ids."""
        # TODO(13): about 15 lines, with a function for one piece. Special tokens -> pieces -> merges -> ids
        raise NotImplementedError("problem 13: BPETokenizer.encode")

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; bytes that are no valid UTF-8 become U+FFFD.

        Raises:
            ValueError: an id that is not in the vocabulary.
        """
        # TODO(13): about 5 lines
        raise NotImplementedError("problem 13: BPETokenizer.decode")
