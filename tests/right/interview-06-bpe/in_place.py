"""Replacement in one list with a write position; counts by groupby-free loops; a class behind the three functions."""

from collections import OrderedDict


class _Bpe:
    def __init__(self, merges=()):
        self.merges = [*merges]

    @property
    def table(self):
        spelled = dict(enumerate(bytes((b,)) for b in range(256)))
        for a, b in self.merges:
            spelled[len(spelled)] = spelled[a] + spelled[b]
        return spelled

    @staticmethod
    def squeeze(ids, a, b, new):
        write = read = 0
        while read < len(ids):
            hit = ids[read] == a and ids[read + 1 : read + 2] == [b]
            ids[write] = new if hit else ids[read]
            read += 2 if hit else 1
            write += 1
        del ids[write:]

    def learn(self, ids, steps):
        for _ in range(steps):
            tally = OrderedDict()
            for pair in zip(ids, ids[1:]):
                tally[pair] = tally.get(pair, 0) + 1
            winner, most = None, 0
            for pair, count in tally.items():
                if count > most:
                    winner, most = pair, count
            if winner is None:
                break
            self.merges.append(winner)
            self.squeeze(ids, *winner, 255 + len(self.merges))


def train_bpe(text: str, num_merges: int):
    if num_merges < 0:
        raise ValueError(f"{num_merges=}")
    bpe = _Bpe()
    bpe.learn(list(text.encode("utf-8")), num_merges)
    return bpe.merges


def encode(text: str, merges):
    ids = list(text.encode("utf-8"))
    for number, (a, b) in enumerate(_Bpe(merges).merges):
        _Bpe.squeeze(ids, a, b, 256 + number)
    return ids


def decode(ids, merges):
    table, data = _Bpe(merges).table, []
    for i in ids:
        try:
            data.append(table[i])
        except KeyError:
            raise ValueError(f"no token has the id {i}") from None
    return bytes().join(data).decode("utf-8", errors="replace")
