"""A heap of (rank, position) over a linked list for encode; sorting by (-count, first position) in training; a recursive decode."""

import heapq
from functools import lru_cache


def train_bpe(text, num_merges):
    if num_merges < 0:
        raise ValueError("num_merges must not be negative, got " + str(num_merges))
    ids = tuple(text.encode("utf-8"))
    merges = []
    while len(merges) != num_merges:
        seen = {}
        for place, pair in enumerate(zip(ids[:-1], ids[1:])):
            first, count = seen.setdefault(pair, (place, 0))
            seen[pair] = (first, count + 1)
        if len(seen) == 0:
            break
        order = sorted(seen.items(), key=lambda item: (-item[1][1], item[1][0]))
        merges += [order[0][0]]
        ids = tuple(_merged(ids, merges[-1], 255 + len(merges)))
    return merges


def _merged(ids, pair, new):
    stream = iter(ids)
    held = next(stream, None)
    for i in stream:
        if held is not None and (held, i) == pair:
            yield new
            held = None
        else:
            if held is not None:
                yield held
            held = i
    if held is not None:
        yield held


def encode(text, merges):
    ids = list(text.encode("utf-8"))
    n = len(ids)
    after, before = list(range(1, n + 1)), list(range(-1, n - 1))
    rank = {pair: number for number, pair in enumerate(merges)}
    heap = [(rank[p], at, p) for at, p in enumerate(zip(ids, ids[1:])) if p in rank]
    heapq.heapify(heap)
    while heap:
        number, at, pair = heapq.heappop(heap)
        follower = after[at]
        if ids[at] != pair[0] or follower >= n or ids[follower] != pair[1]:
            continue
        ids[at], ids[follower] = 256 + number, None
        after[at] = after[follower]
        if after[at] < n:
            before[after[at]] = at
        for left in (before[at], at):
            right = after[left] if left >= 0 else n
            if left >= 0 and right < n and (ids[left], ids[right]) in rank:
                heapq.heappush(heap, (rank[ids[left], ids[right]], left, (ids[left], ids[right])))
    return [i for i in ids if i is not None]


def decode(ids, merges):
    @lru_cache(maxsize=None)
    def spelled(i):
        if i < 256:
            return (i,)
        left, right = merges[i - 256]
        return spelled(left) + spelled(right)

    limit = 255 + len(merges)
    wrong = [i for i in ids if i < 0 or i > limit]
    if wrong:
        raise ValueError(f"ids go from 0 to {limit}, and not to {wrong[0]}")
    return bytes(b for i in ids for b in spelled(i)).decode(errors="replace")
