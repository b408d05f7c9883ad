"""Known wrong answers to interview problem 06."""

from common.mistakes import Mistake

_REFUSE = '    if num_merges < 0:\n        raise ValueError(f"num_merges must be at least 0, not {num_merges}")\n'
_START = '    ids = list(text.encode("utf-8"))\n    merges = []\n'
_LOOP = "for new in range(256, 256 + num_merges):"
_COUNT = "counts = Counter(pairwise(ids))"
_EMPTY = "        if not counts:\n            break\n"
_BEST = "pair = max(counts, key=counts.__getitem__)  # of equals the first: dicts keep their order"
_APPEND = "        merges.append(pair)\n"
_LEARN = "        ids = _merge(ids, pair, new)\n    return merges\n"
_ENCODE = '    ids = list(text.encode("utf-8"))\n    for new, pair in enumerate(merges, start=256):\n        ids = _merge(ids, pair, new)\n    return ids\n'
_APPLY = (
    "    for new, pair in enumerate(merges, start=256):\n        ids = _merge(ids, pair, new)\n"
)
_PIECES = "    for left, right in merges:\n        pieces.append(pieces[left] + pieces[right])\n"
_CHECK = '    for i in ids:\n        if not 0 <= i < len(pieces):\n            raise ValueError(f"id {i} is not in 0..{len(pieces) - 1}")\n'
_JOIN = 'return b"".join(pieces[i] for i in ids).decode("utf-8", errors="replace")'
_IF = "if at + 1 < len(ids) and (ids[at], ids[at + 1]) == pair:"

MISTAKES = [
    Mistake(
        name="characters instead of bytes in training",
        find=_START,
        put="    ids = [ord(character) for character in text]\n    merges = []\n",
        says="Training starts from code points: é is one id, 233, and 漢 collides with the merges. Start from text.encode('utf-8'), whose ids are all below 256.",
    ),
    Mistake(
        name="characters instead of bytes in encode",
        find=_ENCODE,
        put=_ENCODE.replace('list(text.encode("utf-8"))', "[ord(character) for character in text]"),
        says="encode starts from code points: 漢 is 28450 there, and no byte. Start from the UTF-8 bytes, list(text.encode('utf-8')).",
    ),
    Mistake(
        name="Latin-1 bytes",
        find=_START,
        put=_START.replace('"utf-8"', '"latin-1", errors="replace"'),
        also=(
            (_ENCODE, _ENCODE.replace('"utf-8"', '"latin-1", errors="replace"')),
            ('.decode("utf-8", errors="replace")', '.decode("latin-1")'),
        ),
        says="Latin-1 has no room for Chinese or emoji, and é is the single byte 233 in it. Use encode('utf-8') and decode('utf-8').",
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
        name="ties go to the smallest pair",
        find=_BEST,
        put="pair = min(counts, key=lambda p: (-counts[p], p))",
        says="Of equally frequent pairs you take the one with the smallest ids. It is the one that is met first in the sequence; a dict keeps that order, and max takes the first.",
    ),
    Mistake(
        name="ties go to the largest pair",
        find=_BEST,
        put="pair = max(counts, key=lambda p: (counts[p], p))",
        says="Of equally frequent pairs you take the one with the largest ids: the tuple (count, pair) compares the pairs where the counts tie. Take the pair that is met first.",
    ),
    Mistake(
        name="ties go to the last pair",
        find=_BEST,
        put="pair = sorted(counts, key=counts.__getitem__)[-1]",
        says="Of equally frequent pairs you take the one that is met last: the end of a sorted list. max(counts, key=counts.get) takes the first.",
    ),
    Mistake(
        name="overlapping pairs count once",
        find=_COUNT,
        put="counts, at = Counter(), 0\n        while at + 1 < len(ids):\n            same = at + 2 < len(ids) and ids[at] == ids[at + 1] == ids[at + 2]\n            counts[ids[at], ids[at + 1]] += 1\n            at += 2 if same else 1",
        says="In aaa you count (a, a) once, skipping what overlaps. Every adjacent position counts, so it stands there twice; only the replacement goes without overlap.",
    ),
    Mistake(
        name="every other pair is counted",
        find=_COUNT,
        put="counts = Counter(zip(ids[::2], ids[1::2]))",
        says="You cut the text into pairs and miss those in between: in abcd, (b, c) is a pair as well. Count every neighbour: zip(ids, ids[1:]).",
    ),
    Mistake(
        name="pairs do not cross spaces",
        find=_COUNT,
        put="counts = Counter(p for p in pairwise(ids) if 32 not in p)",
        says="You leave out the pairs with a space. Here the text is one sequence of bytes, without words: a space is a byte like any other.",
    ),
    Mistake(
        name="the text is stripped",
        find=_ENCODE,
        put=_ENCODE.replace("text.encode", "text.strip().encode"),
        says="Spaces at the ends are gone after encode and decode: strip() loses them. Every byte of the text has to come back.",
    ),
    Mistake(
        name="the text is normalised",
        find=_ENCODE,
        put=_ENCODE.replace(
            'list(text.encode("utf-8"))', 'list(text.replace("\\r\\n", "\\n").encode("utf-8"))'
        ),
        says="A line end of two characters comes back as one: the text is normalised before it is encoded. decode(encode(text)) has to be the very text.",
    ),
    Mistake(
        name="the text becomes lower case",
        find=_ENCODE,
        put=_ENCODE.replace("text.encode", "text.lower().encode"),
        says="Capital letters come back small: encode changes the text before it takes the bytes. decode(encode(text)) has to be the very text.",
    ),
    Mistake(
        name="Unicode normalisation before encoding",
        find=_ENCODE,
        put=_ENCODE.replace(
            "    ids = list(text.encode",
            '    import unicodedata\n\n    ids = list(unicodedata.normalize("NFC", text).encode',
        ),
        says="Characters that look the same come back as others: e with a separate accent has become é. Encode the text as it is, without unicodedata.normalize.",
    ),
    Mistake(
        name="counts are made once",
        find="    for new in range(256, 256 + num_merges):\n        counts = Counter(pairwise(ids))\n",
        put="    counts = Counter(pairwise(ids))\n    for new in range(256, 256 + num_merges):\n",
        also=((_APPEND, _APPEND + "        del counts[pair]\n"),),
        says="Later merges are pairs of bytes only: you count once, at the start. Each merge makes new pairs with its id, so count again in every round.",
    ),
    Mistake(
        name="the sequence is not replaced",
        find=_LEARN,
        put="        _merge(ids, pair, new)\n    return merges\n",
        says="Every merge is the same pair: the merged sequence is made, but thrown away. Assign it to ids before the next round counts.",
    ),
    Mistake(
        name="the first id is 257",
        find=_LOOP,
        put="for new in range(257, 257 + num_merges):",
        says="Your first merge makes the id 257. The bytes are 0 to 255, so merge i makes 256 + i, and the first is 256.",
    ),
    Mistake(
        name="a pair has to stand twice",
        find=_EMPTY,
        put="        if not counts or max(counts.values()) < 2:\n            break\n",
        says="Training ends when no pair stands twice. Here it goes on as long as there is any pair, until num_merges are made or one id is left.",
    ),
    Mistake(
        name="no end when no pair is left",
        find=_EMPTY,
        put="",
        says="With the text used up max() finds nothing and raises an error. End the loop when there is no pair left, and return what was learned.",
    ),
    Mistake(
        name="one merge too many",
        find=_LOOP,
        put="for new in range(256, 257 + num_merges):",
        says="There is one merge more than num_merges. Each pass of the loop makes one: range(num_merges).",
    ),
    Mistake(
        name="num_merges is taken for the size of the vocabulary",
        find=_LOOP,
        put="for new in range(256, num_merges):",
        says="No merges come out below 256: you read num_merges as the size of the vocabulary. It is the number of merges, so the ids go up to 255 + num_merges.",
    ),
    Mistake(
        name="merges with their ids",
        find="        merges.append(pair)\n",
        put="        merges.append((pair, new))\n",
        says="Each entry holds the pair and its id. The list holds pairs alone: the id of entry i is 256 + i, so nobody needs to write it down.",
    ),
    Mistake(
        name="merges as a dict",
        find=_LEARN,
        put="        ids = _merge(ids, pair, new)\n    return {pair: 256 + i for i, pair in enumerate(merges)}\n",
        says="train_bpe returns a dict. The contract is a list of pairs in the order of training; encode may build a dict from it.",
    ),
    Mistake(
        name="a negative number is accepted",
        find=_REFUSE,
        put="",
        says="num_merges=-1 gives an empty list without a word: range is empty then. Refuse it with a ValueError that names the number.",
    ),
    Mistake(
        name="the error leaves out the number",
        find='f"num_merges must be at least 0, not {num_merges}"',
        put='"num_merges must be non-negative"',
        says="Your ValueError does not say which number came. A message that names the value saves its reader a debugger.",
    ),
    Mistake(
        name="replacement from the right",
        find=_LEARN,
        put="        ids = _merge(ids[::-1], pair[::-1], new)[::-1]\n    return merges\n",
        also=(
            (
                _ENCODE,
                _ENCODE.replace(
                    "_merge(ids, pair, new)", "_merge(ids[::-1], pair[::-1], new)[::-1]"
                ),
            ),
        ),
        says="aaa becomes a 256 instead of 256 a: you replace from the right. Run from the left, and jump over both ids of a pair.",
    ),
    Mistake(
        name="overlapping replacement",
        find="            at += 2\n",
        put="            at += 1\n",
        says="A merged id is used twice: after a match you move on by one place instead of two, so the second half of the pair is read again.",
    ),
    Mistake(
        name="the last id is lost",
        find="    while at < len(ids):\n",
        put="    while at < len(ids) - 1:\n",
        says="The last id of the sequence is lost unless it is merged: your loop ends one place early. Run to the end, and look for a pair only where two ids are left.",
    ),
    Mistake(
        name="only the first occurrence is replaced",
        find=_IF,
        put="if new not in merged and at + 1 < len(ids) and (ids[at], ids[at + 1]) == pair:",
        says="Only the first occurrence of the pair is replaced. A merge holds for the whole sequence.",
    ),
    Mistake(
        name="merges in the reverse order",
        find=_APPLY,
        put="    for new, pair in reversed(list(enumerate(merges, start=256))):\n        ids = _merge(ids, pair, new)\n",
        says="The last merge runs first, when the ids that it is made of do not exist yet. Apply them in the order of training: the lowest first.",
    ),
    Mistake(
        name="the first pair in the text is merged first",
        find=_APPLY,
        put="    ranks = {pair: new for new, pair in enumerate(merges, start=256)}\n    while pair := next((p for p in pairwise(ids) if p in ranks), None):\n        ids = _merge(ids, pair, ranks[pair])\n",
        says="You merge whatever pair comes first in the text. Training order decides: of all pairs in the sequence the one with the lowest merge goes first.",
    ),
    Mistake(
        name="the longest token wins",
        find=_APPLY,
        put="    pieces = {bytes([byte]): byte for byte in range(256)}\n    whole = [bytes([byte]) for byte in range(256)]\n    for left, right in merges:\n        whole.append(whole[left] + whole[right])\n        pieces[whole[-1]] = len(whole) - 1\n    data, ids = bytes(ids), []\n    while data:\n        size = max(n for n in range(1, min(len(data), 40) + 1) if n == 1 or data[:n] in pieces)\n        ids.append(pieces[data[:size]])\n        data = data[size:]\n",
        says="You look for the longest token at each place. Byte-pair encoding replays the merges in the order of training, and that may end with shorter ones.",
    ),
    Mistake(
        name="encode makes one pass over the text",
        find=_APPLY,
        put="    ranks = {pair: new for new, pair in enumerate(merges, start=256)}\n    out = []\n    for i in ids:\n        if out and (out[-1], i) in ranks:\n            out[-1] = ranks[out[-1], i]\n        else:\n            out.append(i)\n    ids = out\n",
        says="One pass with a look at the last token merges by place, not by training order, and misses merges of two merges. Run each merge over the whole sequence, the lowest first.",
    ),
    Mistake(
        name="encode applies merges of bytes only",
        find=_APPLY,
        put="    for new, pair in enumerate(merges, start=256):\n        if max(pair) < 256:\n            ids = _merge(ids, pair, new)\n",
        says="Merges that contain another merge are never used in encode. Each runs over what the earlier ones have made.",
    ),
    Mistake(
        name="encode stops at a merge that does not occur",
        find=_APPLY,
        put="    for new, pair in enumerate(merges, start=256):\n        if pair not in pairwise(ids):\n            break\n        ids = _merge(ids, pair, new)\n",
        says="encode ends at the first merge that finds nothing. Later ones may fit all the same: go on.",
    ),
    Mistake(
        name="ids count only the merges that occur",
        find=_APPLY,
        put="    new = 256\n    for pair in merges:\n        if pair in pairwise(ids):\n            ids = _merge(ids, pair, new)\n            new += 1\n",
        says="A merge that finds nothing does not use up its id, so all later ones get another's. The id of merge i is 256 + i, whether it occurs or not.",
    ),
    Mistake(
        name="encode learns merges of its own",
        find=_APPLY,
        put="    for new, pair in enumerate(train_bpe(text, len(merges)), start=256):\n        ids = _merge(ids, pair, new)\n",
        says="encode trains on the text that it encodes, so its ids mean something else for each text. Use the merges that were handed over.",
    ),
    Mistake(
        name="ids from 0 in encode",
        find=_APPLY,
        put=_APPLY.replace("start=256", "start=0"),
        says="The first merge gets the id 0, which is a byte. Merge i makes 256 + i: enumerate(merges, start=256).",
    ),
    Mistake(
        name="encode uses the merges up",
        find=_APPLY,
        put="    new = 256\n    while merges:\n        ids = _merge(ids, merges.pop(0), new)\n        new += 1\n",
        says="After encode the caller's list of merges is empty: pop takes from it. Read it with a for loop.",
    ),
    Mistake(
        name="encode returns bytes for an empty list of merges",
        find=_ENCODE,
        put=_ENCODE.replace('list(text.encode("utf-8"))', 'text.encode("utf-8")'),
        says="Without merges encode returns a bytes object. It returns a list of ids in every case: list(text.encode('utf-8')).",
    ),
    Mistake(
        name="the halves of a merge are swapped",
        find="pieces[left] + pieces[right]",
        put="pieces[right] + pieces[left]",
        says="The two parts of a merge come out in the wrong order. The bytes of the left id come first, then those of the right one.",
    ),
    Mistake(
        name="merges are taken apart once",
        find=_PIECES,
        put="    for left, right in merges:\n        pieces.append(bytes(i for i in (left, right) if i < 256))\n",
        says="A merge that contains a merge loses its bytes: you take it apart only once. Build the bytes of each id from those of its parts, in the order of training.",
    ),
    Mistake(
        name="each id is decoded by itself",
        find=_JOIN,
        put='return "".join(pieces[i].decode("utf-8", errors="replace") for i in ids)',
        says="A character whose bytes lie in several ids becomes U+FFFD: you decode id by id. Join all bytes first, and decode the whole once.",
    ),
    Mistake(
        name="bytes as characters in decode",
        find=_JOIN,
        put='return "".join(chr(byte) for i in ids for byte in pieces[i])',
        says="Each byte becomes a character of its own, so é comes out as two. Join the bytes and decode them as UTF-8.",
    ),
    Mistake(
        name="invalid bytes raise an error",
        find='.decode("utf-8", errors="replace")',
        put='.decode("utf-8")',
        says="Bytes that are no valid UTF-8 raise UnicodeDecodeError. A model may produce any ids, so decode puts U+FFFD there: errors='replace'.",
    ),
    Mistake(
        name="invalid bytes are left out",
        find='errors="replace"',
        put='errors="ignore"',
        says="Bytes that are no valid UTF-8 vanish without a trace. They become U+FFFD, so that a reader sees that something is wrong: errors='replace'.",
    ),
    Mistake(
        name="unknown ids raise an IndexError",
        find=_CHECK,
        put="",
        says="An id beyond the merges raises an IndexError, and a negative one is read from the end of the list. Refuse both with a ValueError that names the id.",
    ),
    Mistake(
        name="negative ids are read from the end",
        find="if not 0 <= i < len(pieces):",
        put="if i >= len(pieces):",
        says="An id of -1 gives the bytes of the last merge: Python counts negative indices from the end. Refuse ids below 0 too.",
    ),
    Mistake(
        name="the first id too large is accepted",
        find="if not 0 <= i < len(pieces):",
        put="if not 0 <= i <= len(pieces):",
        says="The id 256 + len(merges) gets past your check and fails as an IndexError. The largest id is one less.",
    ),
    Mistake(
        name="unknown ids are skipped",
        find=_CHECK,
        put="    ids = [i for i in ids if 0 <= i < len(pieces)]\n",
        says="Unknown ids are left out without a word. Refuse them with a ValueError that names the id: the merges do not belong to these ids.",
    ),
    Mistake(
        name="the error leaves out the id",
        find='f"id {i} is not in 0..{len(pieces) - 1}"',
        put='"unknown id"',
        says="Your ValueError does not say which id is unknown. Name it, so that its reader can find it.",
    ),
    Mistake(
        name="train_bpe is not written",
        find=_LEARN,
        put="        ids = _merge(ids, pair, new)\n",
        says="train_bpe ends without a return, so it gives None. Return the list of pairs in the order of training.",
    ),
    Mistake(
        name="encode is not written",
        find=_ENCODE,
        put=_ENCODE.replace("    return ids\n", "    return None\n"),
        says="encode ends without a return, so it gives None. Return the list of ids that is left after the last merge.",
    ),
    Mistake(
        name="decode is not written",
        find=_JOIN,
        put="return None",
        says="decode ends without a return, so it gives None. Join the bytes of all ids and return the text that they spell.",
    ),
]
