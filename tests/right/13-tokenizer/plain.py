"""Byte-pair encoding, plain version with the regex package."""
import regex

PATTERN = regex.compile(r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")


def merge(parts, pair):
    joined = pair[0] + pair[1]
    out, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and parts[i] == pair[0] and parts[i + 1] == pair[1]:
            out.append(joined)
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


def count_pairs(words):
    counts = {}
    for parts, n in words:
        for pair in zip(parts, parts[1:]):
            counts[pair] = counts.get(pair, 0) + n
    return counts


def train_bpe(text, vocab_size):
    if vocab_size < 256:
        raise ValueError(f"vocab_size is {vocab_size}, but must be at least 256 (the single bytes)")
    ranks = {bytes([i]): i for i in range(256)}
    frequency = {}
    for piece in PATTERN.findall(text):
        frequency[piece] = frequency.get(piece, 0) + 1
    words = [([bytes([b]) for b in piece.encode("utf-8")], n) for piece, n in frequency.items()]
    while len(ranks) < vocab_size:
        counts = count_pairs(words)
        if not counts:
            break
        best = max(counts, key=counts.get)  # the first of equals: dicts keep insertion order
        ranks.setdefault(best[0] + best[1], len(ranks))
        words = [(merge(parts, best), n) for parts, n in words]
    return ranks


class BPETokenizer:
    def __init__(self, mergeable_ranks, special_tokens=None):
        self.ranks = dict(mergeable_ranks)
        self.special_tokens = dict(special_tokens or {})
        self.bytes_of = {rank: token for token, rank in self.ranks.items()}
        for token, rank in self.special_tokens.items():
            self.bytes_of[rank] = token.encode("utf-8")
        self.cache = {}

    def encode_piece(self, piece):
        if piece in self.ranks:
            return [self.ranks[piece]]
        parts = [bytes([b]) for b in piece]
        while len(parts) > 1:
            pairs = [pair for pair in zip(parts, parts[1:]) if pair[0] + pair[1] in self.ranks]
            if not pairs:
                break
            parts = merge(parts, min(pairs, key=lambda pair: self.ranks[pair[0] + pair[1]]))
        return [self.ranks[part] for part in parts]

    def encode_ordinary(self, text):
        ids = []
        for piece in PATTERN.findall(text):
            data = piece.encode("utf-8")
            if data not in self.cache:
                self.cache[data] = self.encode_piece(data)
            ids.extend(self.cache[data])
        return ids

    def encode(self, text):
        if not self.special_tokens:
            return self.encode_ordinary(text)
        cut = regex.compile("(" + "|".join(regex.escape(token) for token in self.special_tokens) + ")")
        ids = []
        for segment in cut.split(text):
            if segment in self.special_tokens:
                ids.append(self.special_tokens[segment])
            else:
                ids.extend(self.encode_ordinary(segment))
        return ids

    def decode(self, ids):
        for i in ids:
            if int(i) not in self.bytes_of:
                raise ValueError(f"token id {i} is unknown, the vocabulary has {len(self.bytes_of)} ids")
        return b"".join(self.bytes_of[int(i)] for i in ids).decode("utf-8", errors="replace")
