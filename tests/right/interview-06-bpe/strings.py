"""Ids as characters of a string, replaced by str.replace; the most common pair from Counter; decode by undoing the merges."""

from collections import Counter

_SHIFT = 0xE000 * 2  # beyond the surrogates, which cannot be characters


def _char(i):
    return chr(_SHIFT + i)


def _start(text):
    return "".join(_char(b) for b in text.encode())


def _apply(sequence, pair, new):
    return sequence.replace(_char(pair[0]) + _char(pair[1]), _char(new))


def train_bpe(text, num_merges):
    if num_merges < 0:
        raise ValueError(f"{num_merges} merges?")
    sequence, merges = _start(text), []
    for new in range(256, 256 + num_merges):
        best = Counter(zip(sequence, sequence[1:])).most_common(1)
        if not best:
            return merges
        (left, right), _ = best[0]
        merges.append((ord(left) - _SHIFT, ord(right) - _SHIFT))
        sequence = _apply(sequence, merges[-1], new)
    return merges


def encode(text, merges):
    sequence = _start(text)
    for i, pair in enumerate(merges):
        sequence = _apply(sequence, pair, 256 + i)
    return [ord(c) - _SHIFT for c in sequence]


def decode(ids, merges):
    for i in ids:
        if i not in range(256 + len(merges)):
            raise ValueError(i)
    ids = list(ids)
    for number in range(len(merges) - 1, -1, -1):
        new = 256 + number
        ids = [part for i in ids for part in (merges[number] if i == new else (i,))]
    return str(bytes(ids), encoding="utf-8", errors="replace")
