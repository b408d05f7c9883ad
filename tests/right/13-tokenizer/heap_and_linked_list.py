"""Encoding with a heap over a linked list; training with counts that are kept up to date, and ties by position."""

import heapq
from collections import defaultdict

import regex

CUT = regex.compile(r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s")


def train_bpe(text, vocab_size):
    if vocab_size < 256:
        raise ValueError(f"vocab_size={vocab_size} is below 256")
    vocab = [bytes([i]) for i in range(256)]
    order = {}
    words, freqs = [], []
    for m in CUT.finditer(text):
        w = m.group()
        if w not in order:
            order[w] = len(words)
            words.append(list(w.encode("utf-8")))
            freqs.append(0)
        freqs[order[w]] += 1
    counts = defaultdict(int)
    where = defaultdict(set)
    for n, word in enumerate(words):
        for pair in zip(word, word[1:]):
            counts[pair] += freqs[n]
            where[pair].add(n)

    def first_place(pair):
        n = min(where[pair])
        word = words[n]
        return n, next(i for i in range(len(word) - 1) if (word[i], word[i + 1]) == pair)

    while len(vocab) < vocab_size:
        live = [p for p, n in counts.items() if n > 0]
        if not live:
            break
        top = max(counts[p] for p in live)
        best = min((p for p in live if counts[p] == top), key=first_place)
        new = len(vocab)
        vocab.append(vocab[best[0]] + vocab[best[1]])
        for n in list(where[best]):
            word = words[n]
            for pair in zip(word, word[1:]):
                counts[pair] -= freqs[n]
                where[pair].discard(n)
            merged = []
            for symbol in word:
                merged.append(symbol)
            i, out = 0, []
            while i < len(merged):
                if merged[i:i + 2] == list(best):
                    out.append(new)
                    i += 2
                else:
                    out.append(merged[i])
                    i += 1
            words[n] = out
            for pair in zip(out, out[1:]):
                counts[pair] += freqs[n]
                where[pair].add(n)
    return {token: i for i, token in enumerate(vocab)}


class BPETokenizer:
    def __init__(self, mergeable_ranks, special_tokens=None):
        self._ranks = mergeable_ranks.copy()
        self._special = (special_tokens or {}).copy()
        size = 1 + max([*self._ranks.values(), *self._special.values()])
        self._vocab = [None] * size
        for token, rank in self._ranks.items():
            self._vocab[rank] = token
        for token, rank in self._special.items():
            self._vocab[rank] = token.encode("utf8")

    def encode(self, text):
        out = []
        while text:
            hits = [(text.find(s), -len(s), s) for s in self._special if s in text]
            if not hits:
                out.extend(self._ordinary(text))
                break
            at, _, special = min(hits)
            out.extend(self._ordinary(text[:at]))
            out.append(self._special[special])
            text = text[at + len(special):]
        return out

    def _ordinary(self, text):
        for match in CUT.finditer(text):
            piece = match.group().encode("utf-8")
            if piece in self._ranks:
                yield self._ranks[piece]
            else:
                yield from self._bpe(piece)

    def _bpe(self, piece):
        n = len(piece)
        end = [i + 1 for i in range(n)]  # the part that starts at i ends at end[i]
        before = [i - 1 for i in range(n)]
        alive = [True] * n
        heap = []

        def push(i):
            j = end[i]
            if j < n:
                rank = self._ranks.get(piece[i:end[j]])
                if rank is not None:
                    heapq.heappush(heap, (rank, i, j, end[j]))

        for i in range(n):
            push(i)
        while heap:
            _, i, j, stop = heapq.heappop(heap)
            if not alive[i] or end[i] != j or not alive[j] or end[j] != stop:
                continue
            alive[j] = False
            end[i] = stop
            if stop < n:
                before[stop] = i
            push(i)
            if before[i] >= 0:
                push(before[i])
        return [self._ranks[piece[i:end[i]]] for i in range(n) if alive[i]]

    def decode(self, ids):
        out = bytearray()
        for i in ids:
            if not 0 <= i < len(self._vocab) or self._vocab[i] is None:
                raise ValueError(f"{i} is not among 0..{len(self._vocab) - 1}")
            out += self._vocab[i]
        return bytes(out).decode("utf-8", errors="replace")
