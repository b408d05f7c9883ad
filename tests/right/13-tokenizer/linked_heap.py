"""Helper classes: a linked list and a heap for encoding, pair counts kept up to date by word for training."""
import heapq
import itertools

import regex as re

_SPLIT = re.compile(
    r"'(?:[stmd]|re|ve|ll)|\x20?\p{Letter}+|\x20?\p{Number}+|\x20?[^\s\p{Letter}\p{Number}]+|\s+(?!\S)|\s+", re.UNICODE
)


class Word:
    def __init__(self, data, order):
        self.tokens = tuple(data[i : i + 1] for i in range(len(data)))
        self.order = order
        self.times = 0

    def pairs(self):
        return itertools.pairwise(self.tokens)

    def join(self, left, right):
        result, source = [], iter(range(len(self.tokens)))
        for i in source:
            if self.tokens[i : i + 2] == (left, right):
                result.append(left + right)
                next(source)
            else:
                result.append(self.tokens[i])
        self.tokens = tuple(result)


def _place(words, pair):
    """Where the pair is met first: (which piece of the text, which place in it)."""
    for word in words:
        for i, candidate in enumerate(word.pairs()):
            if candidate == pair:
                return word.order, i
    raise AssertionError(pair)


def train_bpe(text: str, vocab_size: int) -> dict[bytes, int]:
    if vocab_size < 256:
        raise ValueError(f"got vocab_size={vocab_size}, minimum 256")
    known: dict[str, Word] = {}
    for order, match in enumerate(_SPLIT.finditer(text)):
        word = known.setdefault(match.group(), Word(match.group().encode(), order))
        word.times += 1
    words = sorted(known.values(), key=lambda w: w.order)
    ranks = {i.to_bytes(1, "big"): i for i in range(256)}
    counts: dict[tuple[bytes, bytes], int] = {}
    for word in words:
        for pair in word.pairs():
            counts[pair] = counts.get(pair, 0) + word.times
    while len(ranks) < vocab_size:
        alive = [n for n in counts.values() if n > 0]
        if not alive:
            return ranks
        most = max(alive)
        equals = [pair for pair, n in counts.items() if n == most]
        pair = equals[0] if len(equals) == 1 else min(equals, key=lambda p: _place(words, p))
        if pair[0] + pair[1] not in ranks:
            ranks[pair[0] + pair[1]] = len(ranks)
        for word in words:
            if pair in word.pairs():
                for old in word.pairs():
                    counts[old] -= word.times
                word.join(*pair)
                for new in word.pairs():
                    counts[new] = counts.get(new, 0) + word.times
    return ranks


class BPETokenizer:
    def __init__(self, mergeable_ranks, special_tokens=None):
        self.rank_of = mergeable_ranks
        self.special = special_tokens or {}
        self.vocabulary = {rank: token for token, rank in mergeable_ranks.items()} | {
            number: token.encode() for token, number in self.special.items()
        }
        self._special_split = (
            re.compile("|".join(re.escape(s) for s in sorted(self.special, key=len, reverse=True))) if self.special else None
        )

    def _bpe(self, data):
        n = len(data)
        following = list(range(1, n + 1))
        previous = list(range(-1, n - 1))
        alive = [True] * n
        end = list(range(1, n + 1))
        heap = []

        def offer(i):
            j = following[i]
            if j < n:
                rank = self.rank_of.get(data[i : end[j]])
                if rank is not None:
                    heapq.heappush(heap, (rank, i, end[i], end[j]))

        for i in range(n):
            offer(i)
        while heap:
            _, i, middle, stop = heapq.heappop(heap)
            if not alive[i] or end[i] != middle or following[i] >= n or end[following[i]] != stop:
                continue
            j = following[i]
            alive[j] = False
            end[i] = stop
            following[i] = following[j]
            if following[i] < n:
                previous[following[i]] = i
            offer(i)
            if previous[i] >= 0:
                offer(previous[i])
        return [self.rank_of[data[i : end[i]]] for i in range(n) if alive[i]]

    def _plain(self, text):
        for match in _SPLIT.finditer(text):
            data = match.group().encode()
            yield from [self.rank_of[data]] if data in self.rank_of else self._bpe(data)

    def encode(self, text):
        ids, start = [], 0
        if self._special_split is not None:
            for match in self._special_split.finditer(text):
                ids += self._plain(text[start : match.start()])
                ids.append(self.special[match.group()])
                start = match.end()
        ids += self._plain(text[start:])
        return ids

    def decode(self, ids):
        try:
            data = [self.vocabulary[i] for i in ids]
        except KeyError as error:
            raise ValueError(f"id {error.args[0]!r} is in no table of {len(self.vocabulary)} ids") from None
        return b"".join(data).decode("utf-8", "replace")
