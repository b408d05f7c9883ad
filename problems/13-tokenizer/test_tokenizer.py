"""Problem 13: what train_bpe and BPETokenizer promise, from cause to consequence.

Most vocabularies here are tiny and made by hand, so that each check has one cause; the last ones are GPT-2's.
"""

import random

import pytest

from common.testing import assert_equal, assert_raises, assert_true, fail, observe

SINGLE = {bytes([byte]): byte for byte in range(256)}


def ranks_of(*merges):
    """The 256 bytes, and then these tokens in the order of learning."""
    return SINGLE | {token.encode() if isinstance(token, str) else token: 256 + i for i, token in enumerate(merges)}


def ranks_that_join_everything(text):
    """Every stretch of the text is a token, so each piece becomes one, however merges are chosen: what is left to see is the cut."""
    data = text.encode()
    stretches = {data[i:j] for i in range(len(data)) for j in range(i + 2, len(data) + 1)}
    return ranks_of(*sorted(stretches, key=lambda token: (len(token), token)))


def same(got, expected, what, because):
    """Compare two lists, with a sentence for the usual wrong types."""
    if got is None:
        because = "The function ends without a return."
    elif not isinstance(got, list):
        because = f"encode returns a list of ints, not a {type(got).__name__}."
    assert_equal(got, expected, what, because=because)


def learned(solution, text, vocab_size):
    """The tokens that training adds to the bytes, in the order of their ranks."""
    call = f"train_bpe({text!r}, {vocab_size})"
    ranks = solution.train_bpe(text, vocab_size)
    if not isinstance(ranks, dict):
        observe(call, ranks if isinstance(ranks, list | tuple | None) else type(ranks).__name__)
        says = "The function ends without a return." if ranks is None else "Map each token, a bytes object, to its rank."
        fail(f"{call} should return a dict:", expected="dict[bytes, int]", got="None" if ranks is None else f"a {type(ranks).__name__}", because=says)
    odd = next((token for token in ranks if not isinstance(token, bytes)), b"")
    observe(f"a key of {call}", odd)
    if not isinstance(odd, bytes):
        fail(f"{call} has a key that is not bytes:", expected="dict[bytes, int]", got=repr(odd), because="A token is a bytes object such as b'th': join the bytes of the two parts. It is no text, no number and no pair.")
    values = list(ranks.values())
    odd = next((rank for rank in values if not isinstance(rank, int)), 0)
    observe(f"a rank of {call}", odd)
    if not isinstance(odd, int):
        fail(f"{call} has a rank that is not an int:", expected="dict[bytes, int]", got=repr(odd), because="The ranks are 0, 1, 2, ...: the place of each token in the order of learning.")
    tokens = sorted((token for token in ranks if token not in SINGLE), key=ranks.__getitem__)
    observe(f"merges of {call}", tokens)
    first = next((i for i, token in enumerate(tokens) if ranks[token] != 256 + i), None)
    observe(f"ranks of {call}", None if first is None else ranks[tokens[first]])
    if first is not None:
        fail(f"the rank of merge {first}, {tokens[first]!r}, in {call} is not what it should be:", expected=256 + first, got=ranks[tokens[first]], because="The bytes are 0 to 255, so the first merge has rank 256, the next 257, and so on: len(ranks) at the time it is added.")
    return tokens


def tokens_of(solution, text, ranks, special=None, *, as_text=True):
    """What encode makes of a text, as the tokens that its ids stand for."""
    ids = solution.BPETokenizer(ranks, special).encode(text)
    call = f"encode({text!r})"
    table = {rank: token for token, rank in ranks.items()} | {i: name.encode() for name, i in (special or {}).items()}
    if not isinstance(ids, list) or not all(isinstance(i, int) and i in table for i in ids):
        observe(call, ids if isinstance(ids, list | tuple | None) else type(ids).__name__)
        says = "The ids are the ranks that the constructor was given, and the ids of the special tokens."
        says = "The function ends without a return." if ids is None else says if isinstance(ids, list) else f"encode returns a list of ints, not a {type(ids).__name__}."
        strange = next((i for i in ids if not isinstance(i, int) or i not in table), None) if isinstance(ids, list) else ids
        fail(f"{call} gives something that is no id of this vocabulary:", expected="a list of ids", got=repr(strange)[:70], because=says)
    found = [table[i] for i in ids]
    return [token.decode("utf-8", "backslashreplace") for token in found] if as_text else found


# --- train_bpe: the start ------------------------------------------------------------------------


def test_a_vocabulary_of_256_is_the_single_bytes(solution):
    try:
        ranks = solution.train_bpe("the cat sat", 256)
    except (ValueError, TypeError) as error:
        observe("256 raises", type(error).__name__)
        fail("train_bpe('the cat sat', 256) raises an error:", expected="the 256 single bytes", got=f"{type(error).__name__}: {error}", because="256 is the smallest vocabulary that works, all the bytes and no merge; only what is below is refused.")
    if not isinstance(ranks, dict) or not all(isinstance(token, bytes) for token in ranks):
        learned(solution, "the cat sat", 256)  # says what is wrong
    wrong = next((byte for byte in range(256) if ranks.get(bytes([byte])) != byte), None)
    observe("first wrong byte", wrong)
    if wrong is not None:
        fail(
            f"the rank of the single byte {bytes([wrong])!r} is not what it should be:", expected=wrong, got=ranks.get(bytes([wrong]), "no such token"),
            because="All 256 bytes are in, whether the text has them or not, each with its own value as its rank: {bytes([b]): b for b in range(256)}. Note that bytes(3) is three zeros, bytes([3]) the byte 3.",
        )  # fmt: skip
    tokens = learned(solution, "the cat sat", 256)
    assert_equal(tokens, [], "the list of merges in train_bpe('the cat sat', 256)", because="vocab_size counts the 256 bytes: at 256 there is no room for a merge.")


@pytest.mark.parametrize("vocab_size", [255, 100, 0, -1])
def test_a_vocabulary_below_256_is_refused(solution, vocab_size):
    with assert_raises(
        ValueError, f"train_bpe('the cat', {vocab_size})", naming=[vocab_size, (256, 255, "byte")],
        because="There are 256 bytes, so a smaller vocabulary cannot hold every text; the message names the value and the limit.",
    ):  # fmt: skip
        solution.train_bpe("the cat", vocab_size)


def test_training_twice_gives_the_same(solution):
    first = learned(solution, "abab xyxy abab", 258)
    learned(solution, "xyxyxy", 257)
    assert_equal(learned(solution, "abab xyxy abab", 258), first, "the second training on the same text", because="Nothing of one call may reach the next: a table at module level, or a default argument that is changed, remembers.")


# --- train_bpe: one merge ------------------------------------------------------------------------


def test_the_first_merge_is_the_most_frequent_pair(solution):
    got = learned(solution, "xyabzab", 257)
    assert_equal(got, [b"ab"], "the first merge of 'xyabzab'", because="(a, b) is there twice, every other pair once: count adjacent pairs, and merge the one with the largest count.")


def test_training_starts_from_utf8_bytes(solution):
    got = learned(solution, "éxéyé", 257)
    says = "Training starts from the bytes of the text, piece.encode('utf-8'). The letter é has two, 195 and 169, which stand together three times; it is no byte of its own."
    assert_equal(got, ["é".encode()], "the first merge of 'éxéyé'", because=says)
    # 漢 is e6 bc a2 and 漣 is e6 bc a3: what they share is two thirds of a character.
    says = "漢 and 漣 share their first two bytes, e6 bc, so these are the most frequent pair: a token may be a part of a character."
    assert_equal(learned(solution, "漢漣漢", 257), [b"\xe6\xbc"], "the first merge of '漢漣漢'", because=says)


def test_every_adjacent_position_counts(solution):
    says = "In aaa the pair (a, a) stands twice, at positions 0 and 1, as often as (b, c), and it comes first. Count all neighbours, also those that overlap."
    assert_equal(learned(solution, "aaaxbcybc", 257), [b"aa"], "the first merge of 'aaaxbcybc'", because=says)
    says = "(c, d) stands three times, (a, a) only twice: each position counts once."
    assert_equal(learned(solution, "aaaxcdycdzcd", 257), [b"cd"], "the first merge of 'aaaxcdycdzcd'", because=says)


def test_a_piece_that_comes_again_counts_again(solution):
    says = "' ab' stands in the text three times, so its pairs count three times, and (x, y) only twice: count a piece as often as it occurs, not once."
    assert_equal(learned(solution, "xy?xy ab ab ab", 257)[:1], [b" a"], "the first merge of 'xy?xy ab ab ab'", because=says)


@pytest.mark.parametrize(("text", "token"), [("bazyazxbaxzy", b"ba"), ("zxxybbaxyba", b"xy"), ("zy ba ba zy", b"zy"), ("no on no on, on no", b"no"), ("xyab", b"xy"), ("cdxyab", b"cd")])
def test_of_equals_the_pair_met_first_is_merged(solution, text, token):
    # In the fourth, (n, o) and (o, n) stand three times each; in the last two, all pairs once.
    says = "Of pairs with the same count the one whose first position in the text comes first is merged: not the smallest, the largest, the last, or that of the most frequent word. max() over a dict that was filled in the order of the text takes it."
    assert_equal(learned(solution, text, 257), [token], f"the first merge of {text!r}", because=says)


# --- train_bpe: one merge after the other --------------------------------------------------------


def test_a_merge_counts_as_one_token_from_then_on(solution):
    says = "After the first merge ab is one token, and (ab, c) is the most frequent pair: replace it in the text, and count anew."
    assert_equal(learned(solution, "abcxabcyabz", 258), [b"ab", b"abc"], "the list of the first two merges of 'abcxabcyabz'", because=says)


def test_training_replaces_from_left_to_right_without_overlap(solution):
    says = "aaaaa becomes aa aa a: from the left, and a byte that is used up is not used again. So the next pair is (aa, aa), then (aaaa, a)."
    assert_equal(learned(solution, "aaaaa", 259), [b"aa", b"aaaa", b"aaaaa"], "the list of merges of 'aaaaa'", because=says)


def test_what_follows_the_last_merge_is_kept(solution):
    says = "After (a, b) the text is ab x ab c: the byte at its end, outside of any merge, stays in it."
    assert_equal(learned(solution, "abxabc", 260), [b"ab", b"abx", b"abxab", b"abxabc"], "the list of merges of 'abxabc'", because=says)


def test_ties_are_decided_in_the_text_as_it_is_now(solution):
    # After (y, z) the text is x yz a b c yz a b x yz: what it looked like before does not matter.
    says = "The pairs are counted anew for each merge, and of equals the first in the text as it is now is merged: x with yz, which stands before (a, b). An order from earlier rounds does not count."
    assert_equal(learned(solution, "xyzabcyzabxyz", 259), [b"yz", b"xyz", b"ab"], "the list of the first three merges of 'xyzabcyzabxyz'", because=says)


@pytest.mark.parametrize("vocab_size", [257, 259, 262])
def test_training_ends_at_vocab_size(solution, vocab_size):
    ranks = solution.train_bpe("the cat sat on the mat that the cat had", vocab_size)
    learned(solution, "the cat sat on the mat that the cat had", vocab_size)
    assert_equal(len(ranks), vocab_size, f"the number of tokens of train_bpe(..., {vocab_size})", because="vocab_size counts everything, the 256 bytes and the merges: there are vocab_size - 256 merges.")


@pytest.mark.parametrize(("text", "expected"), [("", []), ("a", []), ("ab", [b"ab"]), ("aba", [b"ab", b"aba"])], ids=repr)
def test_training_ends_when_no_pair_is_left(solution, text, expected):
    says = "It goes on until vocab_size is reached or every piece is one token. A pair that stands only once is merged too; when none is left training ends, without an error and without filling up."
    try:
        got = learned(solution, text, 300)
    except (ValueError, IndexError, KeyError, TypeError, StopIteration) as error:
        observe("training raises", type(error).__name__)
        fail(f"train_bpe({text!r}, 300) fails when no pair is left:", expected=f"256 bytes and {len(expected)} merges", got=f"{type(error).__name__}: {error}", because=says)
    assert_equal(got, expected, f"the list of merges of {text!r} up to 300 tokens", because=says)


TRAINING_CUTS = {
    "a pair in the second piece": ("ab c", [b"ab", b" c"], "The pieces are 'ab' and ' c', and training goes on until each is one token."),
    "words": ("ab ab ab", [b"ab", b" ab"], "The pieces are 'ab', ' ab', ' ab': a space belongs to the word after it, and no merge reaches from one piece into the next."),
    "digits": ("a1a1a1", [], "Letters and digits are different pieces: 'a', '1', 'a', ... There is no pair."),
    "signs": ("x!x!x!", [], "Letters and punctuation are different pieces: 'x', '!', 'x', ... There is no pair."),
    "contractions": ("we'll we'll", [b"we", b"'l", b"'ll", b" we"], "'ll is a piece of its own: 'we', \"'ll\", ' we', \"'ll\"."),
    "lines": ("b\nb\nb", [], "A line end is a piece of its own, and only a single space goes with the word after it. There is no pair."),
    "empty lines": ("b\n\n\nb\n\n\nb", [b"\n\n"], "Of a run of white space the last character is a piece of its own before a word: 'b', '\\n\\n', '\\n', 'b'. Line ends are text; do not go line by line."),
    "other scripts": ("éa éa", ["é".encode(), "éa".encode(), " éa".encode()], "é is a letter, so 'éa' is one piece: \\p{L} is every letter of every script."),
    "runs of spaces": ("a   a   a", [b"  ", b" a"], "Of a run of spaces the last one goes with the word after it: 'a', '  ', ' a', '  ', ' a'."),
}


@pytest.mark.parametrize("case", TRAINING_CUTS)
def test_training_merges_inside_the_pieces_of_gpt2s_pattern_only(solution, case):
    text, expected, says = TRAINING_CUTS[case]
    assert_equal(learned(solution, text, 300), expected, f"the list of merges of {text!r}", because=says + " First cut the text with the pattern.")


RAW = {
    "capitals": ("AB ab AB", [b"AB"], "A and a are different bytes: no lower case."),
    "white space at the end": ("x   ", [b"  "], "White space at the end is text as well: strip nothing."),
    "white space at the start": ("   x", [b"  "], "White space at the start is text as well: strip nothing."),
    "accents": ("e\u0301 e\u0301", [b"\xcc\x81"], "The accent is a character of its own here, with the bytes cc 81: do not normalise."),
    "line ends": ("a\r\n\r\n", [b"\r\n"], "A line end of two characters stays two, both white space: do not normalise."),
    "a byte order mark": ("\ufeffa", [b"\xef\xbb"], "The mark at the start has three bytes, ef bb bf, and is text like any other."),
}


@pytest.mark.parametrize("case", RAW)
def test_training_takes_the_text_as_it_is(solution, case):
    text, expected, says = RAW[case]
    assert_equal(learned(solution, text, 257), expected, f"the first merge of {text!r}", because=says)


def test_training_takes_special_tokens_for_text(solution):
    got = learned(solution, "<|end|><|end|>", 300)
    says = "train_bpe knows no special tokens. The pieces are '<|', 'end', '|><|', 'end' and '|>'."
    assert_equal(got, [b"<|", b"en", b"end", b"|>", b"|><|"], "the list of merges of '<|end|><|end|>'", because=says)


@pytest.mark.parametrize("letters", ["ab", "abcde  ", "aé漢 \n", "ab1 '.s"], ids=repr)
def test_longer_training_makes_the_merges_of_the_definition(solution, reference, letters):
    text = "".join(random.Random(letters).choices(letters, k=260))
    expected = learned(reference, text, 285)
    got = learned(solution, text, 285)
    if got != expected:
        first = next((i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), None)
        fail(
            f"the merges of a random text of {letters!r} are not what they should be:", expected=f"{len(expected)} merges" if first is None else f"{expected[first]!r} as merge {first}",
            got=f"{len(got)} merges" if first is None else repr(got[first]),
            because="Each round counts all neighbours inside the pieces as they are now, takes the most frequent pair, of equals the first in the text, and replaces it from left to right.",
        )  # fmt: skip


# --- encode: one piece ---------------------------------------------------------------------------


def test_the_empty_text_has_no_ids(solution):
    same(solution.BPETokenizer(ranks_of("ab")).encode(""), [], "encode('')", "Nothing in, an empty list out: nothing is put in front, and nothing at the end.")


def test_without_merges_a_text_is_the_ranks_of_its_bytes(solution):
    same(solution.BPETokenizer(dict(SINGLE)).encode("hé"), [104, 195, 169], "encode('hé') with single bytes only", "The UTF-8 bytes of 'hé' are 104, 195 and 169. A character is no token by itself: é has two bytes.")
    # As in GPT-2, whose rank 0 is "!".
    shifted = {bytes([byte]): (byte + 100) % 256 for byte in range(256)}
    says = "Here the byte b has rank (b + 100) % 256, and in GPT-2's own table '!' has rank 0: look each byte up in mergeable_ranks, rather than take its value for its id."
    same(solution.BPETokenizer(shifted).encode("ié"), [205, 39, 13], "encode('ié') where the bytes have other ranks", says)


def test_two_tokenizers_share_nothing(solution):
    shifted = {bytes([byte]): (byte + 100) % 256 for byte in range(256)}
    says = "A second tokenizer with another table gives the ids of the first, or the other way round: a table or a cache of pieces that belongs to the class or the module, instead of to self."
    first, second = solution.BPETokenizer(dict(SINGLE)), solution.BPETokenizer(shifted)
    same(first.encode("q"), [113], "encode('q') of the first of two tokenizers", says)
    same(second.encode("q"), [213], "encode('q') of the second of two tokenizers", says)
    same(first.encode("q"), [113], "encode('q') of the first, once more,", says)
    assert_equal((first.decode([113]), second.decode([213])), ("q", "q"), "the pair of texts that two tokenizers decode", because=says)


def test_the_order_of_the_dict_does_not_matter(solution):
    ranks = dict(reversed(ranks_of("ab", "bc", "abc").items()))
    tokenizer = solution.BPETokenizer(ranks)
    same(tokenizer.encode("abcbc"), [258, 257], "encode('abcbc') with the dict in reverse order", "The rank is the value in the dict, not the place of the entry: this dict lists the last merge first.")
    assert_equal(tokenizer.decode([258, 257]), "abcbc", "decode([258, 257]) with the dict in reverse order", because="The rank is the value in the dict, not the place of the entry: turn the dict around, {rank: token}.")


def test_merges_are_applied_wherever_they_fit(solution):
    same(solution.BPETokenizer(ranks_of("ab")).encode("abxabab"), [256, 120, 256, 256], "encode('abxabab') with the merge ab", "Each a followed by b becomes 256; everything else stays.")
    same(solution.BPETokenizer(ranks_of("aa")).encode("aaaaa"), [256, 256, 97], "encode('aaaaa') with the merge aa", "From left to right, without overlap: aa aa a.")


def test_merges_build_on_merges(solution):
    got = tokens_of(solution, "abcabcabd", ranks_of("ab", "abc", "abcabc"))
    assert_equal(got, ["abcabc", "ab", "d"], "the list of tokens in 'abcabcabd', with the merges ab, abc, abcabc,", because="What a merge made may take part in the next: look at the pairs again after each merge, until none is in the table.")


ORDER = {
    "the lowest rank, not the first in the text": ("abc", ["bc", "ab"], ["a", "bc"], "(b, c) was learned first, so it is merged first, and a stays alone: the lowest rank wins, not the first pair from the left."),
    "the lowest rank, not the highest": ("abc", ["ab", "bc"], ["ab", "c"], "(a, b) was learned first, so it is merged first: the lowest rank wins, not the highest."),
    "not the longest token from the left": ("abcd", ["ab", "cd", "abc"], ["ab", "cd"], "abc is in the table, but (c, d) has a lower rank than (ab, c), so the c is taken: follow the ranks, rather than search for the longest token."),
    "not the longest token anywhere": ("xabcx", ["xa", "ab", "abc", "cx"], ["xa", "b", "cx"], "abc is in the table, but its a is taken by (x, a), which was learned first."),
    "a low rank that appears late": ("abcabd", ["ab", "abd", "abc"], ["abc", "abd"], "A pair that a merge has made competes by its rank like any other."),
}


@pytest.mark.parametrize("case", ORDER)
def test_the_pair_of_lowest_rank_is_merged_first(solution, case):
    text, merges, expected, says = ORDER[case]
    assert_equal(tokens_of(solution, text, ranks_of(*merges)), expected, f"the list of tokens in {text!r}, with the merges {', '.join(merges)},", because=says)


@pytest.mark.parametrize(("text", "merges", "expected"), [("abcx", ["ab", "abc"], ["abc", "x"]), ("ab", ["ab"], ["ab"]), ("xab", ["ab", "xab"], ["xab"]), ("abz", ["xy", "xyz", "ab", "abz"], ["abz"])])
def test_merging_goes_on_to_both_ends_of_a_piece(solution, text, merges, expected):
    says = "Merging goes on until no neighbours in the piece make a token, at its start and its end as well; a merge that finds nothing ends nothing."
    assert_equal(tokens_of(solution, text, ranks_of(*merges)), expected, f"the list of tokens in {text!r}, with the merges {', '.join(merges)},", because=says)


def test_a_piece_takes_as_many_merges_as_it_needs(solution):
    text = "abcdefghijklmnopqrstuvwxyz" * 2
    says = "Here all stretches of the text are tokens, so this piece becomes one, after 51 merges: go on until no neighbours make a token."
    assert_equal(tokens_of(solution, text, ranks_that_join_everything(text)), [text], "the list of tokens in the alphabet twice, with every merge there is,", because=says)


def test_a_token_may_be_a_part_of_a_character(solution):
    got = tokens_of(solution, "漢漣", ranks_of(b"\xe6\xbc", b"\xa2\xe6\xbc"), as_text=False)
    says = "漢漣 is e6 bc a2 e6 bc a3: merges work on bytes, and know nothing of where a character ends."
    assert_equal(got, [b"\xe6\xbc", b"\xa2\xe6\xbc", b"\xa3"], "the list of tokens in '漢漣', with the merges e6 bc and a2 e6 bc,", because=says)


# --- encode: the cut -----------------------------------------------------------------------------

CUTS = {
    "a space goes with the word after it": ("one two", ["one", " two"], "A space belongs to the word after it: ' ?' before the letters."),
    "letters and numbers": ("x1y22 33", ["x", "1", "y", "22", " 33"], "Letters and numbers are pieces of their own, each with at most one space before it: \\w would take both."),
    "underscores": ("snake_case", ["snake", "_", "case"], "An underscore is neither letter nor number, so it is a sign: [^\\s\\p{L}\\p{N}]. With \\w it counts as a letter, or falls out of the pattern altogether."),
    "signs": ("wow!!! (yes)", ["wow", "!!!", " (", "yes", ")"], "Signs that stand together are one piece, with at most one space before it."),
    "contractions": ("I'm you'll he's we've they're can't I'd", ["I", "'m", " you", "'ll", " he", "'s", " we", "'ve", " they", "'re", " can", "'t", " I", "'d"], "'s, 't, 're, 've, 'm, 'll and 'd are pieces of their own, and come first in the pattern."),
    "contractions before a word": ("'tis", ["'t", "is"], "The pattern knows no words: 't is a contraction wherever it stands."),
    "capital contractions": ("IT'S", ["IT", "'", "S"], "GPT-2's contractions are in lower case only."),
    "other apostrophes": ("rock'n'roll it’s", ["rock", "'", "n", "'", "roll", " it", "’", "s"], "'n and the curly ’s are no contractions: only 's, 't, 're, 've, 'm, 'll, 'd are."),
    "a space before an apostrophe": ("a 's", ["a", " '", "s"], "A contraction has no space before it: after a space the apostrophe is a sign."),
    "two spaces": ("a  b", ["a", " ", " b"], "Of a run of white space the last character is left for the word after it: \\s+(?!\\S)."),
    "many spaces": ("a    b", ["a", "   ", " b"], "Of a run of white space the last character is left for the word after it: \\s+(?!\\S)."),
    "spaces at both ends": ("  a  ", [" ", " a", "  "], "Nothing is stripped; a run at the end of the text is one piece, as no word follows it."),
    "line ends": ("a\n\nb\n", ["a", "\n", "\n", "b", "\n"], "Before a word a run of white space is one piece without its last character, which is a second one: only a space can go with the word."),
    "tabs": ("a \t\tb", ["a", " \t", "\t", "b"], "A run of white space may mix its kinds. Only a space, not a tab, goes with the word after it."),
    "no-break spaces": ("a\u00a0\u00a0b\u3000?", ["a", "\u00a0", "\u00a0", "b", "\u3000", "?"], "The no-break space and the wide one, U+3000, are white space (\\s), but not the plain space that goes with what follows."),
    "signs that nobody sees": ("hi\u200b!", ["hi", "\u200b!"], "The zero-width space U+200B is no white space (\\s), so it stands with the signs."),
    "letters of all scripts": ("naïve Привет 你一好", ["naïve", " Привет", " 你一好"], "\\p{L} is every letter of every script, not only a to z; 一, the Chinese one, is a letter too."),
    "numbers of all kinds": ("x²3½7 9Ⅷ ४२", ["x", "²3½7", " 9Ⅷ", " ४२"], "\\p{N} is every number of every script: ², Ⅷ and ½ as well, which \\d leaves out."),
    "combining marks": ("e\u0301a", ["e", "\u0301", "a"], "A combining accent is no letter, so it stands with the signs. Do not normalise the text."),
    "emoji": ("hi🙂🙂 🙃", ["hi", "🙂🙂", " 🙃"], "Emoji are signs: neither letters, nor numbers, nor white space."),
    "capitals": ("Hello HELLO", ["Hello", " HELLO"], "The text is not changed: no lower case, nothing stripped, nothing normalised."),
}


@pytest.mark.parametrize("case", CUTS)
def test_text_is_cut_with_gpt2s_pattern(solution, case):
    text, expected, says = CUTS[case]
    assert_equal(tokens_of(solution, text, ranks_that_join_everything(text)), expected, f"the list of tokens in {text!r}, with every merge there is,", because=says + " No merge reaches from one piece into the next.")


# --- encode: special tokens ----------------------------------------------------------------------

END = {"<|end|>": 5000}
AROUND = {
    "between": ("ab<|end|>cd", ["ab", "<|end|>", "cd"]),
    "alone": ("<|end|>", ["<|end|>"]),
    "at the start": ("<|end|>ab", ["<|end|>", "ab"]),
    "at the end": ("ab<|end|>", ["ab", "<|end|>"]),
    "twice": ("<|end|><|end|>ab<|end|>", ["<|end|>", "<|end|>", "ab", "<|end|>"]),
    "after a space": ("ab <|end|> cd", ["ab", " ", "<|end|>", " cd"]),
    "between spaces": ("ab  <|end|>  cd", ["ab", "  ", "<|end|>", " ", " cd"]),
    "after a sign": ("ab!<|end|>!cd", ["ab", "!", "<|end|>", "!", "cd"]),
    "in a contraction": ("ab'<|end|>s", ["ab", "'", "<|end|>", "s"]),
}


@pytest.mark.parametrize("case", AROUND)
def test_a_special_token_is_one_id_wherever_it_stands(solution, case):
    text, expected = AROUND[case]
    says = "Cut the text at the special tokens first: each is its own id, and what lies between two of them is a text by itself, cut with the pattern as if nothing else were there."
    assert_equal(tokens_of(solution, text, ranks_that_join_everything(text), END), expected, f"the list of tokens in {text!r}, where <|end|> is special,", because=says)


def test_special_tokens_have_the_ids_that_were_given(solution):
    tokenizer = solution.BPETokenizer(ranks_of("ab"), {"<|end|>": 700, "<|start|>": 300})
    says = "special_tokens maps each text to its id: 300 and 700 here, whatever the number of merges."
    same(tokenizer.encode("<|start|>ab<|end|>"), [300, 256, 700], "encode('<|start|>ab<|end|>')", says)


def test_two_tokenizers_have_their_own_special_tokens(solution):
    tokenizers = [solution.BPETokenizer(dict(SINGLE), special) for special in ({"<|end|>": 300}, {"<|start|>": 300}, None)]
    says = "The special tokens of one tokenizer are known to another: they belong to the class or the module, or to a default argument that is changed, instead of to self."
    plain = list(b"<|end|>")
    for which, tokenizer, ids in zip(("first", "second", "third"), tokenizers, ([300], plain, plain), strict=True):
        same(tokenizer.encode("<|end|>"), ids, f"encode('<|end|>') of the {which} of three tokenizers, of which only the first was given it,", says)


def test_special_tokens_are_found_letter_for_letter(solution):
    special = {"[PAD]": 300, "a.c": 301, "(x|y)": 302, "\\d$": 303}
    says = "A special token is a text, not a pattern: | . [ ] ( ) \\ and $ are operators in one. Put each through regex.escape."
    got = tokens_of(solution, "P[PAD]abca.c(x|y)x5\\d$", dict(SINGLE), special)
    assert_equal(got, ["P", "[PAD]", "a", "b", "c", "a.c", "(x|y)", "x", "5", "\\d$"], "the list of tokens in 'P[PAD]abca.c(x|y)x5\\\\d$', with special tokens [PAD], a.c, (x|y) and \\d$,", because=says)
    for text in ("<|END|>", "<|end|", "<|end |>", "<|ends|>", "< |end|>"):
        got = tokens_of(solution, text, dict(SINGLE), END)
        assert_equal(got, list(text), f"the list of tokens in {text!r}, where <|end|> is special,", because="This is not the special token, only like it: plain text.")


@pytest.mark.parametrize("special", [None, {}, {"<|start|>": 300}], ids=["none", "an empty dict", "another"])
def test_a_special_token_that_was_not_given_is_plain_text(solution, special):
    text = "ab<|end|>cd"
    says = "Only the special tokens of the constructor are special: without them <|end|> is text like any other."
    if special == {}:
        says += " An empty dict is no special token at all; an empty pattern matches everywhere."
    assert_equal(tokens_of(solution, text, ranks_that_join_everything(text), special), ["ab", "<|", "end", "|>", "cd"], f"the list of tokens in {text!r}, with special_tokens={special},", because=says)
    assert_equal(tokens_of(solution, text, ranks_of(), special), list(text), f"the list of tokens in {text!r}, with special_tokens={special} and no merges,", because=says)


# --- decode --------------------------------------------------------------------------------------


def test_bytes_are_decoded_by_their_ranks(solution):
    assert_equal(solution.BPETokenizer(ranks_of("ab")).decode([]), "", "decode([])", because="No ids, no text: the empty string.")
    assert_equal(solution.BPETokenizer(dict(SINGLE)).decode([104, 105]), "hi", "decode([104, 105])", because="104 is the rank of b'h', 105 that of b'i': turn mergeable_ranks around.")
    shifted = {bytes([byte]): (byte + 100) % 256 for byte in range(256)}
    says = "Here the byte b has rank (b + 100) % 256: look each id up in the table, rather than take it for a byte."
    assert_equal(solution.BPETokenizer(shifted).decode([204, 205]), "hi", "decode([204, 205]) where the bytes have other ranks", because=says)


def test_merges_are_decoded_to_all_their_bytes(solution):
    got = solution.BPETokenizer(ranks_of("ab", "abc", "abcabc")).decode([258, 120, 256, 32, 257])
    assert_equal(got, "abcabcxab abc", "decode([258, 120, 256, 32, 257]) with the merges ab, abc, abcabc", because="Each id stands for its token's bytes; they are joined with nothing between them, and nothing is stripped.")


def test_special_tokens_are_decoded_to_their_text(solution):
    tokenizer = solution.BPETokenizer(ranks_of("ab"), {"<|end|>": 700, "<|é|>": 300})
    try:
        got = tokenizer.decode([256, 700, 300, 98])
    except (KeyError, IndexError, ValueError) as error:
        observe("decode raises", type(error).__name__)
        fail("decode does not know the ids of the special tokens:", expected="'ab<|end|><|é|>b'", got=f"{type(error).__name__}: {error}", because="The table for decode holds the ids of special_tokens too.")
    assert_equal(got, "ab<|end|><|é|>b", "decode([256, 700, 300, 98]), where 700 is <|end|> and 300 is <|é|>,", because="A special token's id stands for its text, which is not left out.")


@pytest.mark.parametrize("merges", [(), (b"\xf0\x9f",), (b"\x99\x82",), (b"\x9f\x99",)], ids=["four bytes", "2 + 1 + 1", "1 + 1 + 2", "1 + 2 + 1"])
def test_a_character_may_be_spread_over_several_ids(solution, merges):
    tokens = {(): [b"\xf0", b"\x9f", b"\x99", b"\x82"], (b"\xf0\x9f",): [b"\xf0\x9f", b"\x99", b"\x82"], (b"\x99\x82",): [b"\xf0", b"\x9f", b"\x99\x82"], (b"\x9f\x99",): [b"\xf0", b"\x9f\x99", b"\x82"]}[merges]
    ranks = ranks_of(*merges)
    ids = [ranks[token] for token in tokens]
    try:
        got = solution.BPETokenizer(ranks).decode(ids)
    except UnicodeDecodeError as error:
        observe("decode raises", str(error))
        fail(f"decode({ids}) fails on a part of a character:", expected="'🙂'", got=f"UnicodeDecodeError: {error}", because="The four bytes of 🙂 lie in several tokens: join the bytes of all ids first, and decode the whole once.")
    assert_equal(got, "🙂", f"decode({ids}), the four bytes of 🙂 in several tokens,", because="A character may lie in several ids: join the bytes of all ids first, and decode the whole once.")


@pytest.mark.parametrize(("ids", "expected"), [([97, 255, 98], "a\ufffdb"), ([195], "\ufffd"), ([169, 97], "\ufffda")], ids=str)
def test_bytes_that_are_no_text_become_the_replacement_character(solution, ids, expected):
    try:
        got = solution.BPETokenizer(dict(SINGLE)).decode(ids)
    except UnicodeDecodeError as error:
        observe("decode raises", str(error))
        fail(f"decode({ids}) fails on bytes that are no valid UTF-8:", expected=ascii(expected), got=f"UnicodeDecodeError: {error}", because='A model may produce any ids, or stop in the middle of a character: decode("utf-8", errors="replace") puts U+FFFD there.')
    assert_equal(got, expected, f"decode({ids})", because='Bytes that are no valid UTF-8 become U+FFFD, the character �: errors="replace". They are not left out.')


@pytest.mark.parametrize("special", [None, {"<|end|>": 400}], ids=["without special tokens", "with one"])
def test_an_id_that_is_not_in_the_vocabulary_is_refused(solution, special):
    tokenizer = solution.BPETokenizer(ranks_of("ab"), special)
    with assert_raises((ValueError, TypeError, LookupError), "decode([97, 9999]) with 257 tokens", because="There is no token 9999: text that quietly lacks a token is worse than an error."):
        tokenizer.decode([97, 9999])


# --- all of it together --------------------------------------------------------------------------

TEXTS = ["a", " ", "the cat sat on the mat, the cat sat", "aaaaaaaaaaa", "  two  spaces\r\n\ttab\n ", "It's 1984: we'll see_", "naïve cafe\u0301 ﬁ", "我喜欢猫, 我喜欢狗", "🙂🙃🙂👩‍👩‍👧", "\ufeffmark", "\x00\x7f\x00\u2028\u200b\ufeff"]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_decode_gives_back_what_was_encoded(solution, reference, text):
    for source in ("the same text", "another text"):
        ranks = reference.train_bpe(text if source == "the same text" else "the cat saw 我 and 🙂, the cat and 我 saw 🙂", 290)
        tokenizer = solution.BPETokenizer(ranks)
        got = tokenizer.decode(tokenizer.encode(text))
        assert_equal(got, text, f"decode(encode({text!r})), with merges learned on {source},", because="Nothing may be lost, added, stripped, normalised or changed in case on the way: the pattern has to cover every character.")


@pytest.mark.parametrize("letters", ["ab", "abc ", "é漢🙂", "aab1 '.s\n"], ids=repr)
def test_longer_texts_are_encoded_as_the_definition_says(solution, reference, letters):
    ranks = reference.train_bpe("".join(random.Random(letters).choices(letters, k=200)), 290)
    text = "".join(random.Random(letters + "!").choices(letters, k=150))
    expected, got = (tokens_of(module, text, ranks, as_text=False) for module in (reference, solution))
    observe(f"encoded {letters!r}", got)
    if got != expected:
        first = next(i for i, (a, b) in enumerate(zip([*got, None], [*expected, None], strict=False)) if a != b)
        fail(f"a random text of {letters!r}, with merges of another, is wrong from token {first} on:", expected=str(expected[first : first + 4]), got=str(got[first : first + 4]), because="Within each piece merge the pair of lowest rank, of equals the leftmost, until no neighbours make a token.")


def test_what_was_given_to_the_constructor_is_left_as_it_was(solution):
    ranks, special = ranks_of("ab", "abc"), {"<|end|>": 300}
    before = list(ranks.items()), list(special.items())
    tokenizer = solution.BPETokenizer(ranks, special)
    tokenizer.decode(tokenizer.encode("abc<|end|>漢"))
    assert_equal((list(ranks.items()), list(special.items())), before, "the pair of dicts that the constructor was given, after encode and decode,", because="The caller's dicts are changed, so a second tokenizer made of them is another one: copy what you change.")


def test_a_list_that_was_returned_belongs_to_the_caller(solution):
    tokenizer = solution.BPETokenizer(ranks_of("ab"))
    tokenizer.encode("abx").append(0)
    same(tokenizer.encode("abx"), [256, 120], "encode('abx') after the caller changed the list of an earlier call", "A list from a cache went out: the caller's append changed what is kept. Keep a tuple, or return a copy.")


# --- GPT-2 ---------------------------------------------------------------------------------------

GPT2_TEXTS = [
    "Hello, world!", "It's a test; we'll see: they'd've", "  indented\n\n\tcode = f(x_1, 42)  # ok\n", "Tokenization of antidisestablishmentarianism",
    "1234567890 3.14159 1/2 ½ x²", "ALL CAPS CAN'T WON'T", "naïve café cafe\u0301 Übergröße", "我喜欢猫。日本語のテキスト 한국어", "Привет, мир. مرحبا بالعالم שלום",
    "🙂👩‍👩‍👧🏳️‍🌈 ok", "\u00a0\u3000\u2003wide\r\n\r\nspaces   ", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa ........ ------ ''''s",
]  # fmt: skip


def assert_same_as_gpt2(solution, texts, special):
    from common import gpt2_tokenizer  # half a second, so only where it is needed

    theirs = gpt2_tokenizer()
    tokenizer = solution.BPETokenizer(dict(theirs._mergeable_ranks), special)
    for text in texts:
        expected = theirs.encode(text, allowed_special="all" if special else set(), disallowed_special=())
        got = tokenizer.encode(text)
        observe(f"GPT-2's ids of {text!r}", got)
        if got != expected:
            assert_true(isinstance(got, list), f"encode({text!r}) with GPT-2's vocabulary is not a list")
            first = next(i for i, (a, b) in enumerate(zip([*got, None], [*expected, None], strict=False)) if a != b)
            table = {rank: token for token, rank in theirs._mergeable_ranks.items()} | {50256: b"<|endoftext|>"}
            shown = [f"{part[first : first + 4]} " + " ".join(repr(table.get(i, "?")) for i in part[first : first + 4]) for part in (expected, got)]
            fail(f"encode({text!r}) with GPT-2's vocabulary is wrong from token {first} on:", expected=shown[0], got=shown[1], because="The checks above take this apart: first special tokens, then the pattern, then merges by rank.")
        back = tokenizer.decode(got)
        assert_equal(back, text, f"decode(encode({text!r})) with GPT-2's vocabulary", because="Nothing may be lost or changed on the way.")


def test_the_ids_are_gpt2s(solution):
    assert_same_as_gpt2(solution, GPT2_TEXTS, {"<|endoftext|>": 50256})


def test_the_special_token_of_gpt2_is_special_if_it_is_given(solution):
    texts = ["<|endoftext|>", "One day. <|endoftext|>Two  <|endoftext|>\n", "<|endoftext|><|endoftext |>"]
    assert_same_as_gpt2(solution, texts, {"<|endoftext|>": 50256})
    assert_same_as_gpt2(solution, texts, None)
