"""No regex: a hand-written scanner over unicodedata; the text is one list of pieces, integer tokens inside."""
import unicodedata
from collections import Counter

SPACES = set("\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}
ENDINGS = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


def kind(char):
    if char in SPACES:
        return "space"
    return {"L": "letter", "N": "number"}.get(unicodedata.category(char)[0], "other")


def run_end(text, start, wanted):
    while start < len(text) and kind(text[start]) == wanted:
        start += 1
    return start


def pieces(text):
    at = 0
    while at < len(text):
        ending = next((e for e in ENDINGS if text.startswith(e, at)), None)
        if ending is not None:
            yield ending
            at += len(ending)
            continue
        head = at
        if text[at] == " " and at + 1 < len(text) and kind(text[at + 1]) != "space":
            head = at + 1
        what = kind(text[head])
        stop = run_end(text, head, what)
        if what == "space" and stop < len(text) and stop - at > 1:
            stop -= 1
        yield text[at:stop]
        at = stop


def train_bpe(text, vocab_size):
    if not isinstance(vocab_size, int):
        raise TypeError(f"vocab_size has to be an int and not {vocab_size!r}")
    if vocab_size < 256:
        raise ValueError(f"256 bytes do not fit into a vocabulary of {vocab_size}")
    names = [bytes([i]) for i in range(256)]
    corpus = [list(piece.encode("utf-8")) for piece in pieces(text)]  # in text order, repeated pieces and all
    known = {name: i for i, name in enumerate(names)}
    while len(known) < vocab_size:
        tally = Counter()
        for word in corpus:
            for left, right in zip(word, word[1:]):
                tally[left, right] += 1
        if not tally:
            break
        top = max(tally.values())
        winner = next(pair for pair in tally if tally[pair] == top)
        name = names[winner[0]] + names[winner[1]]
        if name not in known:
            known[name] = len(names)
            names.append(name)
        new = known[name]
        for word in corpus:
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == winner:
                    word[i : i + 2] = [new]
                i += 1
    return known


class BPETokenizer:
    def __init__(self, mergeable_ranks, special_tokens=None):
        self._ranks = mergeable_ranks
        self._special = special_tokens if special_tokens is not None else {}
        self._inverse = {v: k for k, v in mergeable_ranks.items()}
        self._inverse.update({v: k.encode() for k, v in self._special.items()})

    def _ordinary(self, text):
        for piece in pieces(text):
            data = piece.encode("utf-8")
            if data in self._ranks:
                yield self._ranks[data]
                continue
            cuts = list(range(len(data) + 1))
            while True:
                best, where = None, None
                for i in range(len(cuts) - 2):
                    rank = self._ranks.get(data[cuts[i] : cuts[i + 2]])
                    if rank is not None and (best is None or rank < best):
                        best, where = rank, i
                if where is None:
                    break
                del cuts[where + 1]
            for a, b in zip(cuts, cuts[1:]):
                yield self._ranks[data[a:b]]

    def encode(self, text):
        ids, rest = [], text
        while rest:
            hits = sorted((rest.find(s), -len(s), s) for s in self._special if s in rest)
            if not hits:
                ids.extend(self._ordinary(rest))
                break
            where, _, token = hits[0]
            ids.extend(self._ordinary(rest[:where]))
            ids.append(self._special[token])
            rest = rest[where + len(token) :]
        return ids

    def decode(self, ids):
        data = bytearray()
        for token in ids:
            if token not in self._inverse:
                raise ValueError(f"no token has id {token}; ids run up to {max(self._inverse)}")
            data += self._inverse[token]
        return str(data, "utf-8", "replace")
