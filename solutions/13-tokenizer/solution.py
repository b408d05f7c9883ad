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
    # lesson: about 15 lines. Refuse; bytes; pieces; then count, choose, merge, and again
    if vocab_size < 256:
        raise ValueError(f"vocab_size ({vocab_size}) must be at least 256: there are 256 bytes")
    ranks = {bytes([byte]): byte for byte in range(256)}
    # Each piece once, and how often it occurs; a Counter keeps the order in which it met them.
    pieces = Counter(PATTERN.findall(text))
    words = [(_single_bytes(piece), times) for piece, times in pieces.items()]
    while len(ranks) < vocab_size:
        counts: Counter[tuple[bytes, bytes]] = Counter()
        for parts, times in words:
            for pair in pairwise(parts):
                counts[pair] += times
        if not counts:
            break
        pair = max(counts, key=counts.__getitem__)  # of equals max takes the one met first
        ranks[b"".join(pair)] = len(ranks)
        words = [(_merge(parts, pair), times) for parts, times in words]
    return ranks


class BPETokenizer:
    """Text to ids and back, as tiktoken does it.

    Args:
        mergeable_ranks: the rank of each token, all 256 single bytes among them, in any order.
        special_tokens: the id of each text that is one token wherever it stands.
    """

    def __init__(
        self, mergeable_ranks: dict[bytes, int], special_tokens: dict[str, int] | None = None
    ) -> None:
        # lesson: about 6 lines. What encode and decode look things up in
        self.ranks = mergeable_ranks
        self.special = special_tokens or {}
        self.tokens = {rank: token for token, rank in mergeable_ranks.items()}
        self.tokens |= {rank: token.encode("utf-8") for token, rank in self.special.items()}
        # Escaped, as | is an operator; the longest first, where one begins like another. Without
        # any, (?!) stands for "nowhere".
        names = sorted(map(regex.escape, self.special), key=len, reverse=True)
        self.special_pattern = regex.compile(f"({'|'.join(names) or '(?!)'})")

    def encode(self, text: str) -> list[int]:
        """The ids of a text; special tokens in it become their own ids."""
        # lesson: about 15 lines, with a function for one piece. Special tokens -> pieces -> merges -> ids
        ids = []
        for part in self.special_pattern.split(text):
            if part in self.special:
                ids.append(self.special[part])
            else:
                for piece in PATTERN.findall(part):
                    ids.extend(self._encode_piece(piece))
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids; bytes that are no valid UTF-8 become U+FFFD.

        Raises:
            ValueError: an id that is not in the vocabulary.
        """
        # lesson: about 5 lines
        try:
            data = b"".join(self.tokens[i] for i in ids)
        except KeyError as unknown:
            limit = f"the largest is {max(self.tokens)}"
            raise ValueError(f"id {unknown} is not in the vocabulary: {limit}") from None
        # All bytes first: a character may be spread over several tokens.
        return data.decode("utf-8", errors="replace")

    def _encode_piece(self, piece: str) -> list[int]:
        """Repeat what training did: of all pairs that make a token, the lowest rank first."""
        parts = _single_bytes(piece)
        while len(parts) > 1:
            pair = min(pairwise(parts), key=self._rank)
            if b"".join(pair) not in self.ranks:
                break
            parts = _merge(parts, pair)
        return [self.ranks[part] for part in parts]

    def _rank(self, pair: tuple[bytes, bytes]) -> float:
        return self.ranks.get(b"".join(pair), float("inf"))


def _single_bytes(piece: str) -> list[bytes]:
    return [bytes([byte]) for byte in piece.encode("utf-8")]


def _merge(parts: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    """Join each occurrence of the pair, from left to right."""
    merged, at = [], 0
    while at < len(parts):
        width = 2 if tuple(parts[at : at + 2]) == pair else 1
        merged.append(b"".join(parts[at : at + width]))
        at += width
    return merged
