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
    # lesson: about 12 lines. Refuse a negative number; bytes; count, choose, merge; again
    if num_merges < 0:
        raise ValueError(f"num_merges must be at least 0, not {num_merges}")
    ids = list(text.encode("utf-8"))
    merges = []
    for new in range(256, 256 + num_merges):
        counts = Counter(pairwise(ids))
        if not counts:
            break
        pair = max(counts, key=counts.__getitem__)  # of equals the first: dicts keep their order
        merges.append(pair)
        ids = _merge(ids, pair, new)
    return merges


def encode(text: str, merges: list[tuple[int, int]]) -> list[int]:
    """The ids of a text: its UTF-8 bytes, with the merges applied in the order of training."""
    # lesson: about 4 lines
    ids = list(text.encode("utf-8"))
    for new, pair in enumerate(merges, start=256):
        ids = _merge(ids, pair, new)
    return ids


def decode(ids: list[int], merges: list[tuple[int, int]]) -> str:
    """The text of some ids; bytes that are no valid UTF-8 become U+FFFD.

    Raises:
        ValueError: an id that is neither a byte nor the result of a merge.
    """
    # lesson: about 7 lines. The bytes of every id; refuse unknown ids; join, then decode
    pieces = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        pieces.append(pieces[left] + pieces[right])
    for i in ids:
        if not 0 <= i < len(pieces):
            raise ValueError(f"id {i} is not in 0..{len(pieces) - 1}")
    return b"".join(pieces[i] for i in ids).decode("utf-8", errors="replace")


def _merge(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    """Replace each occurrence of the pair by the new id, from left to right."""
    merged = []
    at = 0
    while at < len(ids):
        if at + 1 < len(ids) and (ids[at], ids[at + 1]) == pair:
            merged.append(new)
            at += 2
        else:
            merged.append(ids[at])
            at += 1
    return merged
