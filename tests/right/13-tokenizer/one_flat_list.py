"""The corpus is one list of ids with None between two pieces; encode replays the ranks that occur; decode feeds a decoder."""

import codecs
import re
from collections import defaultdict
from dataclasses import dataclass, field

import regex

WORDS = regex.compile(
    r"""
    '(?:s|t|re|ve|m|ll|d)
    | [ ]?[\p{L}]+
    | [ ]?[\p{N}]+
    | [ ]?[^\s\p{L}\p{N}]+
    | \s+(?!\S)
    | \s+
    """,
    regex.VERBOSE,
)


def train_bpe(text, vocab_size):
    missing = 256 - vocab_size
    if missing > 0:
        raise ValueError(f"a vocabulary of {vocab_size} lacks {missing} bytes")
    spelled = [bytes([b]) for b in range(256)]
    corpus = []
    for match in WORDS.finditer(text):
        corpus.extend(match[0].encode())
        corpus.append(None)
    for new in range(256, vocab_size):
        counts = defaultdict(int)
        for i in range(len(corpus) - 1):
            left, right = corpus[i], corpus[i + 1]
            if left is not None and right is not None:
                counts[left, right] += 1
        best, most = None, 0
        for pair, count in counts.items():
            if count > most:  # not >=, so the first of equals stays
                best, most = pair, count
        if best is None:
            break
        spelled.append(spelled[best[0]] + spelled[best[1]])
        write = 0
        read = 0
        while read < len(corpus):
            if read + 1 < len(corpus) and (corpus[read], corpus[read + 1]) == best:
                corpus[write] = new
                read += 2
            else:
                corpus[write] = corpus[read]
                read += 1
            write += 1
        del corpus[write:]
    return dict(map(reversed, enumerate(spelled)))


@dataclass(eq=False)
class BPETokenizer:
    mergeable_ranks: dict
    special_tokens: dict = None
    table: dict = field(init=False, repr=False)

    def __post_init__(self):
        self.special_tokens = {**(self.special_tokens or {})}
        self.table = {rank: token for token, rank in self.mergeable_ranks.items()}
        for token, rank in self.special_tokens.items():
            self.table[rank] = bytes(token, "utf-8")

    def pieces(self, text):
        if self.special_tokens:
            either = "|".join(map(re.escape, self.special_tokens))
            start = 0
            for match in re.finditer(either, text):
                yield from self.words(text[start : match.start()])
                yield self.special_tokens[match.group()]
                start = match.end()
            text = text[start:]
        yield from self.words(text)

    @staticmethod
    def words(text):
        return (match[0].encode() for match in WORDS.finditer(text))

    def encode(self, text):
        return [i for piece in self.pieces(text) for i in ([piece] if isinstance(piece, int) else self.merged(piece))]

    def merged(self, piece):
        parts, rank = [piece[i : i + 1] for i in range(len(piece))], self.mergeable_ranks.get
        while ranks := [r for a, b in zip(parts, parts[1:]) if (r := rank(a + b)) is not None]:
            lowest, stream = min(ranks), iter(parts)
            parts, held = [], next(stream)
            for part in stream:
                if held is not None and rank(held + part) == lowest:
                    parts.append(held + part)
                    held = None
                else:
                    parts += [held] if held is not None else []
                    held = part
            parts += [held] if held is not None else []
        return map(rank, parts)

    def decode(self, ids):
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        text = []
        for i in ids:
            if i not in self.table:
                raise ValueError(f"{i} is the id of nothing")
            text.append(decoder.decode(self.table[i]))
        return "".join(text) + decoder.decode(b"", final=True)
