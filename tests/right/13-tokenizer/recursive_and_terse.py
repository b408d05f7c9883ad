"""Short: recursion in encode, one long string in training, a KeyError for unknown ids."""

import itertools
import math
from collections import Counter

import regex

SPLIT = r"""'(?:s|t|re|ve|m|ll|d)|[ ]?\p{Letter}+|[ ]?\p{Number}+|[ ]?[^\s\p{L}\p{N}]+|\s+(?=\s)|\s+"""


class TooSmall(ValueError):
    pass


def merge_all(parts, a, b):
    if len(parts) < 2:
        return parts
    if (parts[0], parts[1]) == (a, b):
        return [a + b] + merge_all(parts[2:], a, b)
    return parts[:1] + merge_all(parts[1:], a, b)


def train_bpe(text, vocab_size):
    if vocab_size < 256:
        raise TooSmall(f"{vocab_size} < 256")
    ranks = dict(zip((bytes([i]) for i in range(256)), itertools.count()))
    pieces = [[bytes([i]) for i in piece.encode()] for piece in cut(text)]
    for rank in range(256, vocab_size):
        pairs = Counter(itertools.chain.from_iterable(zip(p, p[1:]) for p in pieces))
        if not pairs:
            break
        (a, b), _ = pairs.most_common(1)[0]  # of equals the first met
        ranks[a + b] = rank
        pieces = [merge_all(p, a, b) for p in pieces]
    return ranks


def cut(text):
    """\\s+(?=\\s) alone would leave one character of a run at the end of the text."""
    body = text.rstrip("\t\n\x0b\x0c\r \x85\xa0\u2003\u2028\u2029\u3000")
    tail = text[len(body):]
    return regex.findall(SPLIT, body) + ([tail] if tail else [])


class BPETokenizer(dict):
    """A dict from id to bytes that can encode too."""

    def __init__(self, mergeable_ranks, special_tokens=None):
        super().__init__({i: t for t, i in mergeable_ranks.items()})
        self.ranks, self.special_tokens = mergeable_ranks, special_tokens
        for text, i in (special_tokens or {}).items():
            self[i] = text.encode()

    def encode(self, text):
        for special, i in (self.special_tokens or {}).items():
            before, found, after = text.partition(special)
            if found:
                return self.encode(before) + [i] + self.encode(after)
        return [i for piece in cut(text) for i in self.piece([bytes([b]) for b in piece.encode()])]

    def piece(self, parts):
        ranks = [self.ranks.get(a + b, math.inf) for a, b in zip(parts, parts[1:])]
        if not ranks or min(ranks) == math.inf:
            return [self.ranks[p] for p in parts]
        i = ranks.index(min(ranks))
        return self.piece(parts[:i] + [parts[i] + parts[i + 1]] + parts[i + 2:])

    def decode(self, ids):
        return str(b"".join(map(self.__getitem__, ids)), "utf-8", "replace")
