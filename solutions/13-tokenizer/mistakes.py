"""Known wrong answers to problem 13."""

from common.mistakes import Mistake

_PATTERN = r'''r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"'''
_REFUSE = '    if vocab_size < 256:\n        raise ValueError(f"vocab_size ({vocab_size}) must be at least 256: there are 256 bytes")\n'
_BYTES = "    ranks = {bytes([byte]): byte for byte in range(256)}\n"
_PIECES = "pieces = Counter(PATTERN.findall(text))"
_WORDS = "words = [(_single_bytes(piece), times) for piece, times in pieces.items()]"
_LOOP = "    while len(ranks) < vocab_size:\n"
_FRESH = "        counts: Counter[tuple[bytes, bytes]] = Counter()\n"
_PAIRS = "            for pair in pairwise(parts):\n                counts[pair] += times\n"
_EMPTY = "        if not counts:\n            break\n"
_BEST = "pair = max(counts, key=counts.__getitem__)  # of equals max takes the one met first"
_RANK = '        ranks[b"".join(pair)] = len(ranks)\n'
_REPLACE = "        words = [(_merge(parts, pair), times) for parts, times in words]\n"
_RETURN = _REPLACE + "    return ranks\n"
_RANKS = "self.ranks = mergeable_ranks"
_TOKENS = "self.tokens = {rank: token for token, rank in mergeable_ranks.items()}"
_SPECIAL = 'self.tokens |= {rank: token.encode("utf-8") for token, rank in self.special.items()}'
_NAMES = "names = sorted(map(regex.escape, self.special), key=len, reverse=True)"
_NOWHERE = "or '(?!)'"
_SPLIT = "for part in self.special_pattern.split(text):"
_IF_SPECIAL = (
    "            if part in self.special:\n                ids.append(self.special[part])\n"
)
_FIND = "for piece in PATTERN.findall(part):"
_EXTEND = "                    ids.extend(self._encode_piece(piece))\n        return ids\n"
_JOIN = '            data = b"".join(self.tokens[i] for i in ids)\n'
_DECODE = 'return data.decode("utf-8", errors="replace")'
_PARTS = "        parts = _single_bytes(piece)\n"
_LOWEST = "pair = min(pairwise(parts), key=self._rank)"
_STOP = '            if b"".join(pair) not in self.ranks:\n                break\n'
_APPLY = "            parts = _merge(parts, pair)\n"
_IDS = "return [self.ranks[part] for part in parts]"
_SINGLE = 'return [bytes([byte]) for byte in piece.encode("utf-8")]'
_WHILE = "    while at < len(parts):\n"
_STEP = "        at += width\n"
_JOINED = '        merged.append(b"".join(parts[at : at + width]))\n'


def _pattern(old: str, new: str) -> str:
    assert old in _PATTERN
    return _PATTERN.replace(old, new)


MISTAKES = [
    # --- the start of training ---
    Mistake(
        name="a small vocabulary is accepted",
        find=_REFUSE,
        put="",
        says="train_bpe('the cat', 100) gives 256 tokens without a word. A vocabulary below 256 cannot hold the bytes: refuse it with a ValueError that names the value and the limit.",
    ),
    Mistake(
        name="256 is refused",
        find="if vocab_size < 256:",
        put="if vocab_size <= 256:",
        says="vocab_size=256 is refused, but it is the smallest vocabulary that works: all the bytes and no merge. Refuse what is below 256.",
    ),
    Mistake(
        name="the error leaves out the value",
        find='f"vocab_size ({vocab_size}) must be at least 256: there are 256 bytes"',
        put='"vocab_size must be at least 256"',
        says="Your ValueError does not say which vocab_size came. A message that names the value and the limit saves its reader a debugger.",
    ),
    Mistake(
        name="an assertion instead of a ValueError",
        find=_REFUSE,
        put='    assert vocab_size >= 256, f"vocab_size ({vocab_size}) must be at least 256"\n',
        says="A small vocab_size raises AssertionError. Assertions are for what cannot happen, and python -O removes them: raise ValueError for bad input.",
    ),
    Mistake(
        name="only the bytes of the text are in",
        find=_BYTES,
        put='    ranks = {bytes([byte]): byte for byte in sorted(set(text.encode("utf-8")))}\n',
        also=((_LOOP, "    while len(ranks) + 256 < vocab_size:\n"),),
        says="Only those bytes that the text has are in the vocabulary, so another text could not be encoded. All 256 single bytes come first, with ranks 0 to 255.",
    ),
    Mistake(
        name="bytes(n) for the byte n",
        find=_BYTES,
        put="    ranks = {bytes(byte): byte for byte in range(256)}\n",
        says="bytes(3) is three zero bytes; the byte 3 is bytes([3]). Your vocabulary holds runs of zeros instead of the single bytes.",
    ),
    Mistake(
        name="chr(n).encode() for the byte n",
        find=_BYTES,
        put='    ranks = {chr(byte).encode("utf-8"): byte for byte in range(256)}\n',
        says="chr(200).encode() is the UTF-8 of a character, two bytes long. The bytes from 128 on are missing from your vocabulary: use bytes([n]).",
    ),
    Mistake(
        name="the vocabulary maps ranks to tokens",
        find=_RETURN,
        put=_REPLACE + "    return {rank: token for token, rank in ranks.items()}\n",
        says="Your dict maps ranks to tokens. It goes the other way: the token, a bytes object, is the key and its rank the value.",
    ),
    Mistake(
        name="tokens are text",
        find=_RETURN,
        put=_REPLACE
        + '    return {token.decode("latin-1"): rank for token, rank in ranks.items()}\n',
        says="The keys of your dict are str. A token may be a part of a character, which no str can hold: keep bytes.",
    ),
    Mistake(
        name="pairs as keys",
        find=_RANK,
        put="        ranks[pair] = len(ranks)\n",
        says="Your merges are under pairs, (b'a', b'b'). The key is the token that the merge makes, the joined bytes b'ab'.",
    ),
    Mistake(
        name="the counts are returned",
        find=_RANK,
        put='        ranks[b"".join(pair)] = counts[pair]\n',
        says="A merge's value in your dict is how often it was found. It is the rank: 256 for the first merge, 257 for the next, len(ranks) at the time.",
    ),
    Mistake(
        name="merges are numbered from 0",
        find=_RANK,
        put='        ranks[b"".join(pair)] = len(ranks) - 256\n',
        says="Your first merge has rank 0, which is that of the byte b'\\x00'. The bytes have 0 to 255, so merges start at 256.",
    ),
    Mistake(
        name="merges are numbered from 257",
        find=_RANK,
        put='        ranks[b"".join(pair)] = len(ranks) + 1\n',
        says="Your first merge has rank 257. The bytes are 0 to 255, so the first merge is 256: len(ranks) before it is added.",
    ),
    Mistake(
        name="vocab_size is the number of merges",
        find=_LOOP,
        put="    while len(ranks) < 256 + vocab_size:\n",
        says="You learn vocab_size merges. vocab_size counts the 256 bytes too, so there are vocab_size - 256 merges.",
    ),
    Mistake(
        name="one merge too many",
        find=_LOOP,
        put="    while len(ranks) <= vocab_size:\n",
        says="The vocabulary has one token more than vocab_size: go on while len(ranks) < vocab_size.",
    ),
    Mistake(
        name="one place is kept for a special token",
        find=_LOOP,
        put="    while len(ranks) < vocab_size - 1:\n",
        says="The vocabulary has one token less than vocab_size. train_bpe knows no special tokens, so no place is kept for one.",
    ),
    # --- counting ---
    Mistake(
        name="characters instead of bytes in training",
        find=_WORDS,
        put='words = [([c.encode("utf-8") for c in piece], times) for piece, times in pieces.items()]',
        says="Training starts from characters: é is one symbol, so its two bytes are never merged, and the pairs are others. Start from single bytes: [bytes([b]) for b in piece.encode('utf-8')].",
    ),
    Mistake(
        name="training does not cut the text",
        find=_PIECES,
        put="pieces = Counter([text])",
        says="Training does not cut the text first, so merges reach across spaces, from letters to digits and over line ends. Cut with PATTERN.findall and merge inside the pieces only.",
    ),
    Mistake(
        name="training cuts at white space",
        find=_PIECES,
        put="pieces = Counter(text.split())",
        says="text.split() throws the spaces away and leaves signs and digits with the words. Cut with GPT-2's pattern, in which a space belongs to the word after it.",
    ),
    Mistake(
        name="training strips the pieces",
        find=_PIECES,
        put="pieces = Counter(piece.strip() for piece in PATTERN.findall(text) if piece.strip())",
        says="The pieces are stripped, so no token begins with a space and white space is never merged. A space is a byte of its piece like any other.",
    ),
    Mistake(
        name="training lower-cases",
        find=_PIECES,
        put="pieces = Counter(PATTERN.findall(text.lower()))",
        says="Training puts the text in lower case, so no token has a capital. A and a are different bytes: take the text as it is.",
    ),
    Mistake(
        name="the training text is stripped",
        find=_PIECES,
        put="pieces = Counter(PATTERN.findall(text.strip()))",
        says="Training strips the text, so white space at its ends is not counted. It is text like any other: take it as it is.",
    ),
    Mistake(
        name="training goes line by line",
        find=_PIECES,
        put="pieces = Counter(p for line in text.splitlines() for p in PATTERN.findall(line))",
        says="Training goes line by line and loses the line ends, which are text as well: empty lines become tokens in GPT-2. Cut the whole text.",
    ),
    Mistake(
        name="the training text is normalised",
        find=_PIECES,
        put='pieces = Counter(PATTERN.findall(__import__("unicodedata").normalize("NFC", text)))',
        says="Training normalises the text: an accent that was a character of its own is gone. Take the bytes as they are.",
    ),
    Mistake(
        name="each piece counts once",
        find="counts[pair] += times",
        put="counts[pair] += 1",
        says="A pair in a word that occurs a hundred times counts once: you forget how often each piece occurs. Add the piece's count.",
    ),
    Mistake(
        name="pieces that repeat are dropped",
        find=_PIECES,
        put="pieces = dict.fromkeys(PATTERN.findall(text), 1)",
        says="A piece counts once, however often it stands in the text: the set of pieces has lost the counts. Use a Counter.",
        same_as="each piece counts once",
    ),
    Mistake(
        name="a pair counts once a piece",
        find="for pair in pairwise(parts):",
        put="for pair in dict.fromkeys(pairwise(parts)):",
        says="A pair that stands twice in one piece counts once: you count pieces that have it. Each adjacent position counts.",
    ),
    Mistake(
        name="overlapping pairs count once",
        find=_PAIRS,
        put="            at = 0\n            while at + 1 < len(parts):\n                counts[parts[at], parts[at + 1]] += times\n"
        "                at += 2 if parts[at : at + 3] == [parts[at]] * 3 else 1\n",
        says="In aaa you count (a, a) once, skipping what overlaps. Every adjacent position counts, so it stands there twice; only the replacement goes without overlap.",
    ),
    Mistake(
        name="every other pair is counted",
        find="for pair in pairwise(parts):",
        put="for pair in zip(parts[::2], parts[1::2], strict=False):",
        says="You cut the piece into pairs and miss those in between: in abcd, (b, c) is a pair as well. Count every neighbour: zip(parts, parts[1:]).",
    ),
    Mistake(
        name="the rarest pair is merged",
        find=_BEST,
        put="pair = min(counts, key=counts.__getitem__)",
        says="You merge the pair with the smallest count. The most frequent one saves the most: max.",
    ),
    Mistake(
        name="the largest pair instead of the most frequent",
        find=_BEST,
        put="pair = max(counts)",
        says="max(counts) compares the pairs themselves, not how often they stand there. Give it the count: max(counts, key=counts.get).",
    ),
    Mistake(
        name="ties go to the largest pair",
        find=_BEST,
        put="pair = max(counts, key=lambda p: (counts[p], p))",
        says="Of equally frequent pairs you take the one with the largest bytes: the tuple (count, pair) compares the pairs where the counts tie. Take the pair that is met first in the text.",
    ),
    Mistake(
        name="ties go to the smallest pair",
        find=_BEST,
        put="pair = min(counts, key=lambda p: (-counts[p], p))",
        says="Of equally frequent pairs you take the one with the smallest bytes. It is the one that is met first in the text; a dict keeps that order, and max takes the first.",
    ),
    Mistake(
        name="ties go to the last pair",
        find=_BEST,
        put="pair = sorted(counts, key=counts.__getitem__)[-1]",
        says="Of equally frequent pairs you take the one that is met last: the end of a sorted list. max(counts, key=counts.get) takes the first.",
    ),
    Mistake(
        name="the most frequent piece comes first",
        find="in pieces.items()]",
        put="in pieces.most_common()]",
        says="You go through the pieces from the most frequent to the rarest, so ties go to the pair of the most frequent word. First met means first in the text: pieces.items() keeps that order.",
    ),
    Mistake(
        name="the pieces are sorted",
        find="in pieces.items()]",
        put="in sorted(pieces.items())]",
        says="You go through the pieces in alphabetical order, so ties go by the alphabet. First met means first in the text: a Counter keeps the order in which it met the pieces.",
    ),
    Mistake(
        name="ties by the order of earlier rounds",
        find=_FRESH,
        put="        counts = Counter({p: 0 for p in counts} if len(ranks) > 256 else {})\n",
        also=(
            (_EMPTY, "        counts = Counter({p: n for p, n in counts.items() if n})\n" + _EMPTY),
        ),
        says="Of equally frequent pairs you take the one that was counted first in an earlier round: your table keeps its order from merge to merge. What counts is the first position in the text as it is now.",
    ),
    # --- merging ---
    Mistake(
        name="counts are made once",
        find=_LOOP + _FRESH,
        put=_FRESH.replace("        counts", "    counts", 1)
        + "    for parts, times in words:\n        for pair in pairwise(parts):\n            counts[pair] += times\n"
        + _LOOP,
        also=(
            ("        for parts, times in words:\n" + _PAIRS, ""),
            (_RANK, _RANK + "        del counts[pair]\n"),
        ),
        says="All your merges are pairs of single bytes: you count once, at the start. Each merge makes new pairs with its token, so replace it in the text and count again.",
    ),
    Mistake(
        name="the pieces are not replaced",
        find=_RETURN,
        put=_REPLACE.replace("words = [", "_ = [")
        + "        if len(ranks) < 257 + len(_) - len(_):\n            break\n    return ranks\n",
        also=(
            (
                _EMPTY,
                _EMPTY
                + "        counts = Counter({p: n for p, n in counts.items() if b''.join(p) not in ranks})\n"
                + _EMPTY,
            ),
        ),
        says="All your merges are pairs of single bytes: the merged pieces are made, but thrown away. Assign them to words before the next round counts.",
        same_as="counts are made once",
    ),
    Mistake(
        name="no end when no pair is left",
        find=_EMPTY,
        put="",
        says="When every piece is one token, max() finds nothing and raises an error. End the loop when there is no pair left, and return what was learned.",
    ),
    Mistake(
        name="a pair has to stand twice",
        find=_EMPTY,
        put="        if not counts or max(counts.values()) < 2:\n            break\n",
        says="Training ends when no pair stands twice. Here it goes on as long as there is any pair, until vocab_size is reached.",
    ),
    Mistake(
        name="filled up when no pair is left",
        find=_EMPTY,
        put='        if not counts:\n            ranks[f"<unused{len(ranks)}>".encode()] = len(ranks)\n            continue\n',
        says="When no pair is left you fill the vocabulary up with tokens that no text has. Training ends there: a smaller vocabulary is right.",
    ),
    Mistake(
        name="replacement from the right",
        find=_REPLACE,
        put="        back = pair[::-1]\n        words = [([p[::-1] for p in _merge([q[::-1] for q in parts[::-1]], tuple(q[::-1] for q in back))][::-1], times) for parts, times in words]\n",
        says="aaa becomes a aa instead of aa a: you replace from the right. Run from the left, and jump over both parts of a pair.",
    ),
    Mistake(
        name="overlapping replacement",
        find=_STEP,
        put="        at += 1\n",
        says="A part that has been merged is used twice: after a match you move on by one place instead of two, so the second half of the pair is read again.",
    ),
    Mistake(
        name="the last part is lost",
        find=_WHILE,
        put="    while at < len(parts) - 1:\n",
        says="The last part of a piece is lost unless it is merged: your loop ends one place early. Run to the end, and look for a pair only where two parts are left.",
    ),
    Mistake(
        name="only the first occurrence is replaced in training",
        find=_REPLACE,
        put='        words = [(parts[: list(pairwise(parts)).index(pair)] + [b"".join(pair)] + parts[list(pairwise(parts)).index(pair) + 2 :] if pair in pairwise(parts) else parts, times) for parts, times in words]\n',
        says="Only the first occurrence of the pair in a piece is replaced. A merge holds wherever its pair stands.",
    ),
    Mistake(
        name="training knows a special token",
        find=_PIECES,
        put='pieces = Counter(p for part in regex.split(r"<\\|\\w+\\|>", text) for p in PATTERN.findall(part))',
        says="Training leaves out what looks like a special token. train_bpe has none: <|end|> in its text is text.",
    ),
    # --- encode: ranks and merges ---
    Mistake(
        name="bytes are their own ids",
        find=_IDS,
        put="return [part[0] if len(part) == 1 else self.ranks[part] for part in parts]",
        says="A single byte gets its value as its id. In GPT-2's table the bytes have other ranks ('!' is 0): look them up in mergeable_ranks like any token.",
    ),
    Mistake(
        name="ranks by the order of the dict",
        find=_RANKS,
        put="self.ranks = {token: rank for rank, token in enumerate(mergeable_ranks)}",
        says="You number the tokens in the order in which the dict lists them. The rank is the value in the dict: mergeable_ranks[token].",
    ),
    Mistake(
        name="decode by the order of the dict",
        find=_TOKENS,
        put="self.tokens = dict(enumerate(mergeable_ranks))",
        says="decode numbers the tokens in the order in which the dict lists them. Turn the dict around instead: {rank: token for token, rank in ...}.",
    ),
    Mistake(
        name="no merges in encode",
        find=_PARTS,
        put="        return [self.ranks[part] for part in _single_bytes(piece)]\n" + _PARTS,
        says="encode gives one id a byte: no merge is ever applied. Go on merging neighbours whose joined bytes are in mergeable_ranks.",
    ),
    Mistake(
        name="characters instead of bytes in encode",
        find=_PARTS,
        put='        parts = [c.encode("utf-8") for c in piece]\n',
        says="encode starts from characters, so é is looked up whole, and is no token until a merge made it one. Start from the single bytes of piece.encode('utf-8').",
    ),
    Mistake(
        name="Latin-1 bytes",
        find=_SINGLE,
        put='return [bytes([byte]) for byte in piece.encode("latin-1", errors="replace")]',
        also=((_DECODE, 'return data.decode("latin-1")'),),
        says="Latin-1 has no room for Chinese or emoji, and é is the single byte 233 in it. Use UTF-8 both ways.",
    ),
    Mistake(
        name="the first pair from the left is merged",
        find=_LOWEST,
        put='pair = next((p for p in pairwise(parts) if b"".join(p) in self.ranks), (b"", b"?" * 99))',
        says="encode merges the first pair from the left that makes a token. It is the pair with the lowest rank anywhere in the piece, the one that was learned first.",
    ),
    Mistake(
        name="the highest rank first",
        find='return self.ranks.get(b"".join(pair), float("inf"))',
        put='return -self.ranks.get(b"".join(pair), -1)',
        says="encode merges the pair of highest rank first. The merge that was learned first goes first: the lowest rank.",
    ),
    Mistake(
        name="the longest token from the left",
        find="        while len(parts) > 1:\n",
        put='        data, parts = b"".join(parts), []\n        while data:\n            size = max(n for n in range(1, len(data) + 1) if data[:n] in self.ranks)\n            parts, data = [*parts, data[:size]], data[size:]\n        while False:\n',
        says="encode takes the longest token that fits, from left to right. That is another algorithm, with other ids: repeat the merges in the order of their ranks.",
    ),
    Mistake(
        name="the longest token anywhere first",
        find='return self.ranks.get(b"".join(pair), float("inf"))',
        put='return -len(b"".join(pair)) if b"".join(pair) in self.ranks else 0',
        says="Of the pairs that make a token you merge the longest. It is the one of lowest rank, whatever its length.",
    ),
    Mistake(
        name="of equals the rightmost in encode",
        find=_APPLY,
        put='            at = max(i for i, p in enumerate(pairwise(parts)) if p == pair)\n            parts[at : at + 2] = [b"".join(pair)]\n',
        says="Where one pair stands more than once you begin at the right: aaa becomes a aa. Merge from left to right.",
    ),
    Mistake(
        name="only the first occurrence is replaced in encode",
        find="        while len(parts) > 1:\n",
        put="        done = set()\n        while len(parts) > 1:\n",
        also=(
            (
                _LOWEST,
                "pair = min((p for p in pairwise(parts) if p not in done), key=self._rank, default=(b'', b'?' * 99))\n            done.add(pair)",
            ),
            (
                _APPLY,
                '            at = list(pairwise(parts)).index(pair)\n            parts[at : at + 2] = [b"".join(pair)]\n',
            ),
        ),
        says="Each merge is applied once in a piece, and its other occurrences are left. Go on until no neighbours make a token.",
    ),
    Mistake(
        name="one round of merging",
        find="        while len(parts) > 1:\n",
        put="        for _ in range(len(parts) > 1):\n",
        says="encode merges once and stops. What a merge made may take part in the next one: repeat until no neighbours make a token.",
    ),
    Mistake(
        name="the piece must be a token",
        find=_PARTS,
        put='        if piece.encode("utf-8") in self.ranks:\n            return [self.ranks[piece.encode("utf-8")]]\n        return [self.ranks[part] for part in _single_bytes(piece)]\n'
        + _PARTS,
        says="A piece that is a token becomes one id, any other falls apart into single bytes. Between the two lie the merges: join neighbours by rank.",
    ),
    Mistake(
        name="the last pair is never looked at",
        find=_LOWEST,
        put="if len(parts) < 3:\n                break\n            pair = min(pairwise(parts[:-1]), key=self._rank)",
        says="The last two parts of a piece are never merged: range(len(parts) - 2) ends one pair early. A piece of n parts has n - 1 pairs.",
    ),
    Mistake(
        name="the rank is tested for truth",
        find=_STOP,
        put='            if not self.ranks.get(b"".join(pair)):\n                break\n            if self.ranks[b"".join(pair)] % 2:\n                break\n',
        says="Merges with an odd rank are left out: the test for whether there is a merge looks at the rank itself. Test whether the joined bytes are in the table.",
    ),
    # --- encode: the cut ---
    Mistake(
        name="encode does not cut the text",
        find=_FIND,
        put="for piece in [part] if part else []:",
        says="encode does not cut the text first, so merges reach across words. Cut with PATTERN.findall, and merge inside each piece.",
    ),
    Mistake(
        name="encode cuts at white space",
        find=_FIND,
        put="for piece in part.split():",
        says="part.split() throws the white space away, so decode cannot give it back. Cut with GPT-2's pattern, which covers every character.",
    ),
    Mistake(
        name="no contractions in the pattern",
        find=_PATTERN,
        put=_pattern("'s|'t|'re|'ve|'m|'ll|'d|", ""),
        says="The contractions are missing from your pattern: the apostrophe and the s of it's are two pieces. 's, 't, 're, 've, 'm, 'll and 'd come first.",
    ),
    Mistake(
        name="contractions come last",
        find=_PATTERN,
        put=_pattern("'s|'t|'re|'ve|'m|'ll|'d|", "").replace(
            r"\s+\"", r"\s+|'s|'t|'re|'ve|'m|'ll|'d\""
        ),
        says="The contractions stand at the end of your pattern, where the rule for signs has taken the apostrophe already. Of several alternatives the first that fits wins: put them first.",
        same_as="no contractions in the pattern",
    ),
    Mistake(
        name="'d is missing",
        find=_PATTERN,
        put=_pattern("|'d", ""),
        says="'d, as in I'd, is missing from your contractions. There are seven: 's, 't, 're, 've, 'm, 'll, 'd.",
    ),
    Mistake(
        name="contractions in any case",
        find=_PATTERN,
        put=_pattern("'s|'t|'re|'ve|'m|'ll|'d|", "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"),
        says="You take 'S and 'LL for contractions. GPT-2's pattern knows them in lower case only (that of GPT-4 ignores case).",
    ),
    Mistake(
        name="GPT-4's pattern",
        find=_PATTERN,
        put=r"""r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+" """.strip(),
        says="This is the pattern of GPT-4 (cl100k), which cuts numbers into threes and gives words any sign before them. GPT-2's is simpler; the README has it.",
    ),
    Mistake(
        name="the space is a piece of its own",
        find=_PATTERN,
        put=_pattern(r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+", r"\p{L}+|\p{N}+|[^\s\p{L}\p{N}]+"),
        says="A space is a piece of its own in your pattern. In GPT-2 it belongs to the word after it: ' ?' before letters, numbers and signs.",
    ),
    Mistake(
        name="the space goes with the word before it",
        find=_PATTERN,
        put=_pattern(
            r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+", r"\p{L}+ ?|\p{N}+ ?|[^\s\p{L}\p{N}]+ ?"
        ),
        says="A space goes with the word before it in your pattern. In GPT-2 it belongs to the word after it: ' ?' stands in front.",
    ),
    Mistake(
        name="any white space goes with the word",
        find=_PATTERN,
        put=_pattern(
            r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+", r"\s?\p{L}+|\s?\p{N}+|\s?[^\s\p{L}\p{N}]+"
        ),
        says="A line end or a tab goes with the word after it in your pattern. Only the plain space does: ' ?', not '\\s?'.",
    ),
    Mistake(
        name="many spaces go with the word",
        find=_PATTERN,
        put=_pattern(
            r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+", r" *\p{L}+| *\p{N}+| *[^\s\p{L}\p{N}]+"
        ),
        says="All spaces before a word go with it in your pattern (' *'). Only one does (' ?'); the others are a piece of their own.",
    ),
    Mistake(
        name="no lookahead in the pattern",
        find=_PATTERN,
        put=_pattern(r"|\s+(?!\S)", ""),
        says="Of several spaces none is left for the word after them: \\s+ takes the whole run. \\s+(?!\\S) before it gives the last one back.",
    ),
    Mistake(
        name="a run of spaces at the end only",
        find=_PATTERN,
        put=_pattern(r"\s+(?!\S)", r"\s+$"),
        says='Your pattern treats a run of white space differently at the end of the text only. (?!\\S) means "no word follows": before a word, the run is one piece without its last character.',
        same_as="no lookahead in the pattern",
    ),
    Mistake(
        name="white space is space, tab and line end",
        find=_PATTERN,
        put=_pattern(r"[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", r"[^ \t\r\n\p{L}\p{N}]+|\s+(?!\S)|\s+"),
        says="Only the usual white space ends a run of signs in your pattern, so a no-break space counts as a sign. \\s is the white space of all scripts.",
    ),
    Mistake(
        name="white space in single characters",
        find=_PATTERN,
        put=_pattern(r"\s+(?!\S)|\s+", r"\s"),
        says="Each white-space character is a piece of its own in your pattern. A run is one piece, without its last character where a word follows: \\s+(?!\\S)|\\s+.",
    ),
    Mistake(
        name="white space is not covered",
        find=_PATTERN,
        put=_pattern(r"|\s+(?!\S)|\s+", ""),
        says="White space that goes with no word falls out of your pattern, and findall drops it. The pattern ends in \\s+(?!\\S)|\\s+ so that it covers every character.",
    ),
    Mistake(
        name="letters and digits by \\w",
        find=_PATTERN,
        put=_pattern(r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+", r" ?\w+| ?[^\s\w]+"),
        says="\\w takes letters, digits and underscores for one kind, so x1 is one piece. Letters (\\p{L}) and numbers (\\p{N}) are pieces of their own, and _ is a sign.",
    ),
    Mistake(
        name="the underscore falls out",
        find=_PATTERN,
        put=_pattern(r"[^\s\p{L}\p{N}]+", r"[^\s\w]+"),
        says="snake_case loses its underscore: \\w includes it, so it is neither letter, nor number, nor sign, and findall drops what no alternative takes. Signs are [^\\s\\p{L}\\p{N}].",
    ),
    Mistake(
        name="ASCII letters only",
        find=_PATTERN,
        put=_pattern(
            r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+", r" ?[a-zA-Z]+| ?[0-9]+| ?[^\sa-zA-Z0-9]+"
        ),
        says="Only a to z are letters in your pattern, so é and 你 count as signs. \\p{L} is every letter of every script, \\p{N} every number.",
    ),
    Mistake(
        name="\\d for numbers",
        find=_PATTERN,
        put=_pattern(r" ?\p{N}+| ?[^\s\p{L}\p{N}]+", r" ?\d+| ?[^\s\p{L}\d]+"),
        says="\\d leaves out numbers that are no decimal digits, such as ², ½ and Ⅷ, which then count as signs. \\p{N} takes them all.",
    ),
    Mistake(
        name="marks count as letters",
        find=_PATTERN,
        put=_pattern(
            r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+",
            r" ?[\p{L}\p{M}]+| ?\p{N}+| ?[^\s\p{L}\p{M}\p{N}]+",
        ),
        says="Combining marks go with the letters in your pattern. In GPT-2's they are no letters (\\p{L} leaves \\p{M} out), so they stand with the signs.",
    ),
    Mistake(
        name="signs one by one",
        find=_PATTERN,
        put=_pattern(r" ?[^\s\p{L}\p{N}]+", r" ?[^\s\p{L}\p{N}]"),
        says="Each sign is a piece of its own in your pattern: a + is missing. Signs that stand together, such as !!!, are one piece.",
    ),
    Mistake(
        name="single digits",
        find=_PATTERN,
        put=_pattern(r" ?\p{N}+", r" ?\p{N}"),
        says="Each digit is a piece of its own in your pattern. GPT-2 takes a whole number, 22, for one piece: \\p{N}+.",
    ),
    Mistake(
        name="the text is stripped",
        find=_SPLIT,
        put="for part in self.special_pattern.split(text.strip()):",
        says="Spaces at the ends of the text are gone: strip() loses them. Every byte of the text has to come back from decode.",
    ),
    Mistake(
        name="the text is lower-cased",
        find=_SPLIT,
        put="for part in self.special_pattern.split(text.lower()):",
        says="Capitals are gone: the text is put in lower case. decode(encode(text)) has to be the very text.",
    ),
    Mistake(
        name="the text is normalised",
        find=_SPLIT,
        put='for part in self.special_pattern.split(__import__("unicodedata").normalize("NFC", text)):',
        says="e with a combining accent comes back as one character: the text is normalised before it is encoded. decode(encode(text)) has to be the very text.",
    ),
    Mistake(
        name="a space is put in front",
        find=_SPLIT,
        put='for part in self.special_pattern.split(" " + text if text and text[0].isalnum() else text):',
        says="A space is put before the text, as some tokenizers do. GPT-2's does not: the first word has no space before it.",
    ),
    # --- encode: special tokens ---
    Mistake(
        name="special tokens are ignored",
        find=_SPLIT,
        put="for part in [text]:",
        also=((_IF_SPECIAL, "            if False:\n                pass\n"),),
        says="encode cuts a special token up like any text. Look for special tokens first; each is one id, and only what lies between them is cut and merged.",
    ),
    Mistake(
        name="only a text that is a special token",
        find=_SPLIT,
        put="for part in [text]:",
        says="A special token is found only if it is the whole text. Split the text at the special tokens, wherever they stand.",
    ),
    Mistake(
        name="special tokens are not escaped",
        find="map(regex.escape, self.special)",
        put="self.special",
        says='A special token is put into a pattern as it is, where | means "or": <|end|> looks for <, end and >. Escape it: regex.escape.',
    ),
    Mistake(
        name="the separators are lost",
        find="""f"({'|'.join(names) or '(?!)'})\"""",
        put="""f"(?:{'|'.join(names) or '(?!)'})\"""",
        says="The special tokens vanish: split() returns only what lies between them, unless the pattern has a group around it. Write ( ... ).",
    ),
    Mistake(
        name="an empty pattern for no special tokens",
        find=_NOWHERE,
        put="or ''",
        says="Without special tokens your pattern is empty, and an empty pattern splits the text between all characters. Leave the split out, or use a pattern that never matches, (?!).",
    ),
    Mistake(
        name="<|...|> is always special",
        find="{'|'.join(names) or '(?!)'}",
        put=r"<\\|\\w+\\|>|{'|'.join(names) or '(?!)'}",
        says="Whatever looks like <|end|> is cut out, whether it was given as a special token or not. Only those given to the constructor are special.",
    ),
    Mistake(
        name="<|endoftext|> is always special",
        find="self.special = special_tokens or {}",
        put='self.special = {"<|endoftext|>": 50256} | (special_tokens or {})',
        says="<|endoftext|> is special even where no special token was given: it has id 50256 without being in the vocabulary. Take only those of the constructor.",
    ),
    Mistake(
        name="special tokens in any case",
        find="{'|'.join(names) or '(?!)'})\"",
        put="{'|'.join(names) or '(?!)'})\", flags=regex.IGNORECASE",
        also=(
            (
                _IF_SPECIAL,
                "            if part.lower() in self.special:\n                ids.append(self.special[part.lower()])\n",
            ),
            (
                "for token, rank in self.special.items()}",
                "for token, rank in self.special.items()}\n        self.special |= {token.lower(): rank for token, rank in self.special.items()}",
            ),
        ),
        says="<|END|> is taken for <|end|>. A special token is found letter for letter, capitals included.",
    ),
    Mistake(
        name="special ids are counted on",
        find="self.special = special_tokens or {}",
        put="self.special = {token: len(mergeable_ranks) + i for i, token in enumerate(special_tokens or {})}",
        says="You number the special tokens on from the last rank. special_tokens says which id each of them has.",
    ),
    Mistake(
        name="special tokens in the same pattern as the text",
        find=_SPLIT,
        put="""for part in regex.findall(PATTERN.pattern + "".join("|" + n for n in names), text) if (names := list(map(regex.escape, self.special))) else [text]:""",
        says="The special tokens stand last in one pattern with all the rest, so the rule for signs takes their <| first. Split at the special tokens before the pattern is used at all.",
        same_as="special tokens are ignored",
    ),
    Mistake(
        name="the cut looks past a special token",
        find=_SPLIT,
        put="""for part in regex.findall("|".join([*map(regex.escape, self.special), PATTERN.pattern]), text):""",
        says="Special tokens stand first in one pattern with the rest, but ' <|' still begins with a space and goes to the signs, and white space before a special token looks past its end. Split there first; each part is a text by itself.",
    ),
    Mistake(
        name="text around special tokens is stripped",
        find=_FIND,
        put="for piece in PATTERN.findall(part.strip() if self.special else part):",
        says="White space beside a special token is gone. What lies between two special tokens is text like any other: strip nothing.",
    ),
    Mistake(
        name="what follows the last special token is lost",
        find=_SPLIT,
        put="for part in self.special_pattern.split(text)[: -1 if any(t in text for t in self.special) else None]:",
        says="The text after the last special token is lost: the loop over the matches ends with the last one. Encode the rest of the text as well.",
    ),
    Mistake(
        name="special tokens come first",
        find="        return ids\n\n    def decode",
        put="        return sorted(ids, key=lambda i: i not in self.special.values())\n\n    def decode",
        says="The special tokens stand at the front of your ids, the text after them. They keep their places in the text.",
    ),
    # --- decode ---
    Mistake(
        name="each id is decoded by itself",
        find=_JOIN,
        put='            return "".join(self.tokens[i].decode("utf-8", errors="replace") for i in ids)\n',
        says="A character whose bytes lie in several ids becomes U+FFFD: you decode id by id. Join all bytes first, and decode the whole once.",
    ),
    Mistake(
        name="each id is decoded by itself, strictly",
        find=_JOIN,
        put='            return "".join(self.tokens[i].decode("utf-8") for i in ids)\n',
        says="A character whose bytes lie in several ids raises UnicodeDecodeError: you decode id by id. Join all bytes first, and decode the whole once with errors='replace'.",
    ),
    Mistake(
        name="invalid bytes raise an error",
        find=_DECODE,
        put='return data.decode("utf-8")',
        says="Half a character raises UnicodeDecodeError. A model may produce any ids, so decode puts U+FFFD there: errors='replace'.",
    ),
    Mistake(
        name="invalid bytes are left out",
        find='errors="replace"',
        put='errors="ignore"',
        says="Bytes that are no valid UTF-8 vanish without a trace. They become U+FFFD, so that a reader sees that something is wrong: errors='replace'.",
    ),
    Mistake(
        name="decode gives bytes",
        find=_DECODE,
        put="return data",
        says="decode returns bytes. Text is wanted: decode('utf-8', errors='replace') as the last step.",
    ),
    Mistake(
        name="tokens are joined with spaces",
        find=_JOIN,
        put='            data = b" ".join(self.tokens[i] for i in ids)\n',
        says='decode puts spaces between the tokens. The spaces are in the tokens already: join them with nothing, b"".join.',
    ),
    Mistake(
        name="the decoded text is stripped",
        find=_DECODE,
        put=_DECODE + ".strip()",
        says="decode strips the text, so white space at its ends is gone. Give back what the bytes spell.",
    ),
    Mistake(
        name="decode does not know special tokens",
        find=_SPECIAL,
        put="pass",
        says="decode refuses the ids of the special tokens: they are not in the table {rank: token}. Add them, with their text as UTF-8.",
    ),
    Mistake(
        name="decode leaves special tokens out",
        find=_SPECIAL,
        put='self.tokens |= dict.fromkeys(self.special.values(), b"")',
        says="decode leaves special tokens out. Their ids stand for their text, so that decode(encode(text)) is the text.",
    ),
    Mistake(
        name="unknown ids are skipped",
        find=_JOIN,
        put='            data = b"".join(self.tokens[i] for i in ids if i in self.tokens)\n',
        says="Ids that are not in the vocabulary are left out without a word. Refuse them with a ValueError that names the id.",
    ),
    Mistake(
        name="unknown ids become U+FFFD",
        find=_JOIN,
        put='            data = b"".join(self.tokens.get(i, b"\\xef\\xbf\\xbd") for i in ids)\n',
        says="An id that is not in the vocabulary becomes U+FFFD. That sign is for bytes that are no text; an unknown id means the wrong tokenizer, so refuse it with a ValueError.",
        same_as="unknown ids are skipped",
    ),
    Mistake(
        name="ids below 256 are bytes in decode",
        find=_JOIN,
        put='            data = b"".join(bytes([i]) if i < 256 else self.tokens[i] for i in ids)\n',
        says="decode takes an id below 256 for the byte of that value. In GPT-2's table the bytes have other ranks: look every id up.",
    ),
    # --- manners ---
    Mistake(
        name="special tokens are added to the caller's dict",
        find=_RANKS,
        put="self.ranks = mergeable_ranks\n        mergeable_ranks |= {token.encode(): rank for token, rank in (special_tokens or {}).items()}",
        says="The caller's mergeable_ranks has the special tokens in it after the constructor: |= and update() work in place. Copy it first.",
    ),
    Mistake(
        name="tables belong to the class",
        find=_RANKS,
        put="BPETokenizer.ranks = mergeable_ranks",
        says="A second tokenizer changes the first: the table is kept at the class instead of at self. Assign to self.",
    ),
    Mistake(
        name="a cache for all tokenizers",
        find=_PARTS,
        put="        if piece in _cache:\n            return list(_cache[piece])\n" + _PARTS,
        also=(
            (
                _IDS,
                "_cache[piece] = [self.ranks[part] for part in parts]\n        return list(_cache[piece])",
            ),
            (
                "\n\nclass BPETokenizer",
                "\n_cache: dict[str, list[int]] = {}\n\n\nclass BPETokenizer",
            ),
        ),
        says="Two tokenizers share one cache of pieces, so the second gives the ids of the first. Keep the cache at self, or make the table part of its key.",
    ),
    Mistake(
        name="the cache's own list goes out",
        find="        ids = []\n",
        put='        self._kept = getattr(self, "_kept", {})\n        if text in self._kept:\n            return self._kept[text]\n        ids = self._kept[text] = []\n',
        says="encode returns the very list that its cache keeps, so what the caller appends is there the next time. Return a copy.",
    ),
    Mistake(
        name="ids as a tuple",
        find="        return ids\n\n    def decode",
        put="        return tuple(ids)\n\n    def decode",
        says="encode returns a tuple. The contract is a list of ints, which callers extend and put into tensors.",
    ),
    Mistake(
        name="a list of lists",
        find=_EXTEND,
        put="                    ids.append(self._encode_piece(piece))\n        return ids\n",
        says="encode returns a list for each piece. The ids of all pieces are one flat list: extend, not append.",
    ),
    # --- not written ---
    Mistake(
        name="train_bpe returns nothing",
        find=_RETURN,
        put=_REPLACE,
        says="train_bpe ends without a return, so it gives None. Return the dict of ranks.",
    ),
    Mistake(
        name="train_bpe learns nothing",
        find=_LOOP,
        put="    while False:\n",
        says="train_bpe returns the 256 bytes and no merge. Go on while len(ranks) < vocab_size: count pairs, take the best, replace it.",
    ),
    Mistake(
        name="encode returns nothing",
        find="        return ids\n\n    def decode",
        put="\n    def decode",
        says="encode ends without a return, so it gives None. Return the list of ids.",
    ),
    Mistake(
        name="decode returns nothing",
        find=_DECODE,
        put="data.decode()",
        says="decode ends without a return, so it gives None. Return the text that the bytes spell.",
    ),
    Mistake(
        name="encode gives the bytes themselves",
        find=_SPLIT,
        put='return list(text.encode("utf-8"))\n        for part in []:',
        says="encode returns the UTF-8 bytes of the text. They are where it starts: each becomes its rank, and neighbours are merged by the table.",
    ),
]
