"""Training with positions in lists of slots; encode with a heap of merges that are there; decode with a stack."""

import heapq
from collections import defaultdict


def _alive(slots):
    return [i for i in slots if i is not None]


def train_bpe(text: str, num_merges: int) -> list[tuple[int, int]]:
    if num_merges < 0:
        raise ValueError("num_merges is " + str(num_merges))
    slots = [*text.encode("utf8")]
    merges: list[tuple[int, int]] = []
    for _ in range(num_merges):
        counts: dict[tuple[int, int], int] = defaultdict(int)
        for pair in zip(slots, slots[1:], strict=False):
            counts[pair] += 1
        if not counts:
            return merges
        top = max(counts.values())
        pair = next(p for p, n in counts.items() if n == top)
        at = 0
        while at + 1 < len(slots):
            if slots[at] == pair[0] and slots[at + 1] == pair[1]:
                slots[at : at + 2] = [256 + len(merges), None]
                at += 1
            at += 1
        slots = _alive(slots)
        merges.append(pair)
    return merges


def encode(text: str, merges: list[tuple[int, int]]) -> list[int]:
    rank = {}
    for number, pair in enumerate(merges):
        rank.setdefault(tuple(pair), number)
    ids = list(text.encode("utf8"))
    todo = sorted({rank[p] for p in zip(ids, ids[1:]) if p in rank})
    while todo:
        number = heapq.heappop(todo)
        pair, out = tuple(merges[number]), []
        for i in ids:
            out.append(i)
            if tuple(out[-2:]) == pair:
                out[-2:] = [256 + number]
        ids = out
        for p in zip(ids, ids[1:]):
            if rank.get(p, -1) > number and rank[p] not in todo:
                heapq.heappush(todo, rank[p])
    return ids


def decode(ids: list[int], merges: list[tuple[int, int]]) -> str:
    biggest = 255 + len(merges)
    for i in ids:
        if i < 0 or i > biggest:
            raise ValueError(f"the id {i} is not between 0 and {biggest}")
    stack, data = [*reversed(ids)], []
    while stack:
        i = stack.pop()
        if i < 256:
            data.append(i)
        else:
            left, right = merges[i - 256]
            stack += [right, left]
    return str(bytes(data), "utf8", "replace")
