"""Encode by the lowest merge that occurs, looked up in a dict; counting in a plain dict; decode by a stack."""


def _stats(ids):
    counts = {}
    for i in range(len(ids) - 1):
        pair = (ids[i], ids[i + 1])
        counts[pair] = counts.get(pair, 0) + 1
    return counts


def _replace(ids, pair, new):
    out, i = [], 0
    while i < len(ids):
        if ids[i] == pair[0] and i < len(ids) - 1 and ids[i + 1] == pair[1]:
            out.append(new)
            i = i + 2
        else:
            out.append(ids[i])
            i = i + 1
    return out


def train_bpe(text, num_merges):
    if not num_merges >= 0:
        raise ValueError("num_merges=%d" % num_merges)
    ids = [int(b) for b in bytes(text, "utf8")]
    merges = {}
    while len(merges) < num_merges and len(ids) > 1:
        counts = _stats(ids)
        best = max(counts, key=counts.get)
        merges[best] = 256 + len(merges)
        ids = _replace(ids, best, merges[best])
    return list(merges)


def encode(text, merges):
    ranks = {tuple(pair): rank for rank, pair in enumerate(merges)}
    ids = list(bytes(text, "utf8"))
    while len(ids) >= 2:
        pair = min(_stats(ids), key=lambda p: ranks.get(p, float("inf")))
        if pair not in ranks:
            break
        ids = _replace(ids, pair, 256 + ranks[pair])
    return ids


def decode(ids, merges):
    data = bytearray()
    for i in ids:
        if i < 0 or i > 255 + len(merges):
            raise ValueError(f"unknown id: {i}")
        stack = [i]
        while stack:
            top = stack.pop()
            if top < 256:
                data.append(top)
            else:
                left, right = merges[top - 256]
                stack += [right, left]
    return data.decode("utf-8", "replace")
