"""No regex package: the pattern by hand, with unicodedata; merges one pair at a time."""

import re
import unicodedata

WHITE = set("\t\n\x0b\x0c\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | {chr(c) for c in range(0x2000, 0x200B)}
SUFFIXES = ("'s", "'t", "'re", "'ve", "'m", "'ll", "'d")


def kind(c):
    if c in WHITE:
        return "space"
    major = unicodedata.category(c)[0]
    return major if major in "LN" else "sign"


def cut(text):
    pieces, at = [], 0
    while at < len(text):
        suffix = next((s for s in SUFFIXES if text.startswith(s, at)), None)
        if suffix:
            pieces.append(suffix)
            at += len(suffix)
            continue
        start = at
        if text[at] == " " and at + 1 < len(text) and kind(text[at + 1]) != "space":
            at += 1
        which = kind(text[at])
        while at < len(text) and kind(text[at]) == which:
            at += 1
        if which == "space" and at < len(text) and at - start > 1:
            at -= 1
        pieces.append(text[start:at])
    return pieces


def train_bpe(text, vocab_size):
    if vocab_size < 256:
        raise ValueError("a vocabulary of %d is too small, the 256 bytes must fit" % vocab_size)
    vocab = {bytes((i,)): i for i in range(256)}
    # all pieces, repeated ones too, in the order of the text
    seqs = [[bytes((b,)) for b in p.encode()] for p in cut(text)]
    for rank in range(256, vocab_size):
        count, first = {}, {}
        position = 0
        for seq in seqs:
            for a, b in zip(seq, seq[1:]):
                count[a, b] = count.get((a, b), 0) + 1
                first.setdefault((a, b), position)
                position += 1
        if not count:
            return vocab
        best = sorted(count, key=lambda p: (-count[p], first[p]))[0]
        vocab[best[0] + best[1]] = rank
        for seq in seqs:
            i = 0
            while i < len(seq) - 1:
                if (seq[i], seq[i + 1]) == best:
                    seq[i:i + 2] = [best[0] + best[1]]
                i += 1
    return vocab


class BPETokenizer:
    def __init__(self, mergeable_ranks, special_tokens=None):
        self.rank_of = dict(mergeable_ranks)
        self.specials = dict(special_tokens) if special_tokens else {}
        self.bytes_of = {v: k for k, v in self.rank_of.items()}
        self.bytes_of.update((v, k.encode()) for k, v in self.specials.items())

    def encode(self, text):
        if not self.specials:
            return self._plain(text)
        out, last = [], 0
        for match in re.finditer("|".join(re.escape(s) for s in self.specials), text):
            out += self._plain(text[last:match.start()])
            out.append(self.specials[match.group()])
            last = match.end()
        return out + self._plain(text[last:])

    def _plain(self, text):
        out = []
        for piece in cut(text):
            seq = [bytes((b,)) for b in piece.encode()]
            while True:
                options = [(self.rank_of[a + b], i) for i, (a, b) in enumerate(zip(seq, seq[1:])) if a + b in self.rank_of]
                if not options:
                    break
                _, i = min(options)
                seq[i:i + 2] = [seq[i] + seq[i + 1]]
            out += [self.rank_of[s] for s in seq]
        return out

    def decode(self, ids):
        for i in ids:
            if i not in self.bytes_of:
                raise ValueError("unknown id %r" % (i,))
        return b"".join([self.bytes_of[i] for i in ids]).decode("utf-8", "replace")
