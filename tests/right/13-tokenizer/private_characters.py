"""Tokens are characters of a private area, so that str.replace merges and str.translate goes back; a cache for each tokenizer."""

from collections import Counter
from functools import lru_cache
from itertools import chain

import regex

AREA = 0xF0000
CUT = regex.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


def lift(data):
    return "".join(chr(AREA + byte) for byte in data)


def train_bpe(text: str, vocab_size: int) -> dict[bytes, int]:
    if not vocab_size >= 256:
        raise ValueError(f"vocab_size is {vocab_size}: 256 at least")
    tokens = [bytes((i,)) for i in range(256)]
    corpus = " ".join(lift(piece.encode()) for piece in CUT.findall(text))
    while len(tokens) < vocab_size:
        pairs = Counter(a + b for a, b in zip(corpus, corpus[1:]) if a != " " != b)
        if not pairs:
            break
        [(pair, _)] = pairs.most_common(1)  # of equals the one that was counted first
        corpus = corpus.replace(pair, chr(AREA + len(tokens)))
        tokens.append(b"".join(tokens[ord(c) - AREA] for c in pair))
    return {token: rank for rank, token in enumerate(tokens)}


class BPETokenizer:
    def __init__(self, mergeable_ranks, special_tokens=None):
        ranks, self._special = dict(mergeable_ranks), dict(special_tokens or {})
        self._names = {i: t for t, i in [*ranks.items(), *((s.encode(), i) for s, i in self._special.items())]}

        @lru_cache(maxsize=10_000)
        def of_piece(data: bytes) -> tuple[int, ...]:
            cuts = [*range(len(data) + 1)]
            while True:
                found = [(ranks.get(data[a:c], 1 << 40), i) for i, (a, c) in enumerate(zip(cuts, cuts[2:]))]
                rank, where = min(found, default=(1 << 40, 0))
                if rank == 1 << 40:
                    return tuple(ranks[data[a:b]] for a, b in zip(cuts, cuts[1:]))
                cuts.pop(where + 1)

        self._of_piece = of_piece

    def _split(self, text, names):
        """Yield plain stretches and special tokens by turns."""
        if not names:
            return [text]
        name, *others = names
        parts = [self._split(part, others) for part in text.split(name)]
        return [*parts[0], *chain.from_iterable([name, *part] for part in parts[1:])]

    def encode(self, text):
        ids = []
        for part in self._split(text, list(self._special)):
            ids += [self._special[part]] if part in self._special else chain(*(self._of_piece(p.encode()) for p in CUT.findall(part)))
        return ids

    def decode(self, ids):
        unknown = [i for i in ids if i not in self._names]
        if unknown:
            raise ValueError(f"unknown ids: {unknown}")
        out = bytearray()
        for i in ids:
            out.extend(self._names[i])
        return out.decode(errors="replace")
