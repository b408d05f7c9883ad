"""As OpenAI's encoder.py: bytes become printable characters, merges are pairs that are recovered from the ranks."""

from functools import lru_cache

import regex as re

from common import GPT2Config, problem

PAT = re.compile(r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+""")


@lru_cache
def bytes_to_unicode():
    bs = list(range(ord("!"), ord("~") + 1)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    cs = bs[:]
    n = 0
    for b in range(256):
        if b not in bs:
            bs.append(b)
            cs.append(256 + n)
            n += 1
    return dict(zip(bs, map(chr, cs)))


def get_pairs(word):
    return set(zip(word, word[1:]))


def apply(word, first, second):
    new, i = [], 0
    while i < len(word):
        try:
            j = word.index(first, i)
        except ValueError:
            new.extend(word[i:])
            break
        new.extend(word[i:j])
        i = j
        if i + 1 < len(word) and word[i + 1] == second:
            new.append(first + second)
            i += 2
        else:
            new.append(word[i])
            i += 1
    return tuple(new)


def train_bpe(text: str, vocab_size: int) -> dict[bytes, int]:
    if vocab_size < 256:
        raise ValueError(f"vocab_size must be >= 256, got {vocab_size}")
    up = bytes_to_unicode()
    down = {c: b for b, c in up.items()}
    corpus: dict[tuple, int] = {}
    for token in PAT.findall(text):
        word = tuple(up[b] for b in token.encode("utf-8"))
        corpus[word] = corpus.get(word, 0) + 1
    ranks = {bytes([b]): b for b in range(256)}
    while len(ranks) < vocab_size:
        stats: dict[tuple, int] = {}
        for word, freq in corpus.items():
            for pair in zip(word, word[1:]):
                stats[pair] = stats.get(pair, 0) + freq
        if not stats:
            break
        top = max(stats.values())
        first, second = next(pair for pair, n in stats.items() if n == top)
        ranks[bytes(down[c] for c in first + second)] = len(ranks)
        corpus = {apply(word, first, second): freq for word, freq in corpus.items()}
    return ranks


class BPETokenizer:
    def __init__(self, mergeable_ranks, special_tokens=None):
        self.byte_encoder = bytes_to_unicode()
        self.byte_decoder = {v: k for k, v in self.byte_encoder.items()}
        self.encoder = {"".join(self.byte_encoder[b] for b in token): rank for token, rank in mergeable_ranks.items()}
        self.decoder = {v: k for k, v in self.encoder.items()}
        self.special = special_tokens or {}
        self.special_decoder = {v: k for k, v in self.special.items()}
        self.cache = {}
        self.bpe_ranks = {}
        for token, rank in self.encoder.items():
            if len(token) > 1:
                pair = self._halves(token, rank)
                if pair is not None:
                    self.bpe_ranks[pair] = rank

    def _halves(self, token, limit):
        word = tuple(token)
        while len(word) > 2:
            best = min(get_pairs(word), key=lambda p: self.encoder.get(p[0] + p[1], limit))
            if self.encoder.get(best[0] + best[1], limit) >= limit:
                return None
            word = apply(word, *best)
        return word

    def bpe(self, token):
        if token in self.cache:
            return self.cache[token]
        word = tuple(token)
        while len(word) > 1:
            bigram = min(get_pairs(word), key=lambda pair: self.bpe_ranks.get(pair, float("inf")))
            if bigram not in self.bpe_ranks:
                break
            word = apply(word, *bigram)
        self.cache[token] = word
        return word

    def encode(self, text):
        chunks = [text]
        if self.special:
            chunks = re.split("(" + "|".join(re.escape(s) for s in self.special) + ")", text)
        bpe_tokens = []
        for chunk in chunks:
            if chunk in self.special:
                bpe_tokens.append(self.special[chunk])
                continue
            for token in re.findall(PAT, chunk):
                token = "".join(self.byte_encoder[b] for b in token.encode("utf-8"))
                bpe_tokens.extend(self.encoder[t] for t in self.bpe(token))
        return bpe_tokens

    def decode(self, tokens):
        data = bytearray()
        for t in tokens:
            if t in self.special_decoder:
                data += self.special_decoder[t].encode("utf-8")
            elif t in self.decoder:
                data += bytes(self.byte_decoder[c] for c in self.decoder[t])
            else:
                raise ValueError(f"token id {t} is out of the vocabulary of {len(self.decoder) + len(self.special)}")
        return data.decode("utf-8", errors="replace")
