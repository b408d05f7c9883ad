"""Byte-pair encoding: learn merges from a text, encode and decode with them.

Ids 0 to 255 are the bytes; merge number i makes the id 256 + i.
"""

from collections import Counter
from itertools import pairwise


def train_bpe(text: str, num_merges: int) -> list[tuple[int, int]]:
    """Learn up to num_merges merges from the UTF-8 bytes of a text.

    Each step merges the most frequent adjacent pair, and of equals the one that is met first.

    Returns:
        The pairs in the order of training; fewer than num_merges where no pair is left.

    Raises:
        ValueError: num_merges is negative.
    """
    # TODO(interview-06): about 12 lines. Refuse a negative number; bytes; count, choose, merge; again
    raise NotImplementedError("problem interview-06: train_bpe")


def encode(text: str, merges: list[tuple[int, int]]) -> list[int]:
    """The ids of a text: its UTF-8 bytes, with the merges applied in the order of training."""
    # TODO(interview-06): about 4 lines
    raise NotImplementedError("problem interview-06: encode")


def decode(ids: list[int], merges: list[tuple[int, int]]) -> str:
    """The text of some ids; bytes that are no valid UTF-8 become U+FFFD.

    Raises:
        ValueError: an id that is neither a byte nor the result of a merge.
    """
    # TODO(interview-06): about 7 lines. The bytes of every id; refuse unknown ids; join, then decode
    raise NotImplementedError("problem interview-06: decode")
