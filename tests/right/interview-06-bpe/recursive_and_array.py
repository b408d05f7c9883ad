"""array of ids, pairs packed into one int, decode by recursion, and refusals by slices of range."""

from array import array
from functools import reduce


def _pack(left, right):
    return left << 32 | right


def _replaced(ids, packed, new):
    out, held = array("q"), None
    for i in ids:
        if held is None:
            held = i
        elif _pack(held, i) == packed:
            out.append(new)
            held = None
        else:
            out.append(held)
            held = i
    if held is not None:
        out.append(held)
    return out


def train_bpe(text, num_merges):
    if not num_merges >= 0:
        raise ValueError(f"cannot learn {num_merges} merges")
    ids, learned = array("q", [*text.encode()]), []
    while len(learned) < num_merges and len(ids) > 1:
        packed = [_pack(*ids[at : at + 2]) for at in range(len(ids) - 1)]
        places = {}
        for at, pair in enumerate(packed):
            places.setdefault(pair, []).append(at)
        best = sorted(places, key=lambda p: (-len(places[p]), places[p][0]))[0]
        ids = _replaced(ids, best, 256 + len(learned))
        learned.append(divmod(best, 1 << 32))
    return learned


def encode(text, merges):
    start = array("q", [*text.encode()])
    steps = enumerate(merges, 256)
    return reduce(lambda ids, step: _replaced(ids, _pack(*step[1]), step[0]), steps, start).tolist()


def decode(ids, merges):
    known = range(256 + len(merges))

    def spell(i):
        if i < 256:
            return (i,)
        left, right = merges[i - 256]
        return spell(left) + spell(right)

    data = bytearray()
    for i in ids:
        if i not in known:
            raise ValueError(f"{i} is none of {len(known)} ids")
        data.extend(spell(i))
    return data.decode(errors="replace")
