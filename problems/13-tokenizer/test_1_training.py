"""Problem 13, part 1: what train_bpe promises, from cause to consequence."""

from functools import cache

import pytest

from common.testing import assert_equal, assert_raises, fail, observe
from common.testing.calls import OUTLIVES
from common.testing.tokens import assert_gives, draw_text


def vocabulary(solution, text, vocab_size):
    """What train_bpe gives, once it is known to be a dict from bytes to ints."""
    call = f"train_bpe({text!r}, {vocab_size})"
    ranks = solution.train_bpe(text, vocab_size)
    if not isinstance(ranks, dict):
        observe(call, type(ranks).__name__)
        says = "The keys are the tokens, as bytes, and the values their ranks."
        fail(
            f"{call} should be a dict:", expected="a dict[bytes, int]",
            got="None" if ranks is None else f"a {type(ranks).__name__}",
            because="A function that ends without a return gives None." if ranks is None else says,
        )  # fmt: skip
    odd = [f"{t!r}: {r!r}" for t, r in ranks.items() if not (isinstance(t, bytes) and isinstance(r, int))]
    observe(f"odd entries of {call}", odd[:3])
    if odd:
        fail(
            f"{call} has an entry that is not bytes with an int:", expected="entries such as b'ab': 256", got=odd[0],
            because="Each token, which is the bytes of both parts of a pair joined, is mapped to its rank.",
        )  # fmt: skip
    return ranks


def merges(solution, text, vocab_size):
    """The tokens that training adds to the bytes, in the order of their ranks."""
    ranks = vocabulary(solution, text, vocab_size)
    return sorted((token for token in ranks if len(token) > 1), key=ranks.__getitem__)


def assert_learns(solution, text, vocab_size, expected, because):
    call = f"the list of merges of train_bpe({text!r}, {vocab_size})"
    assert_gives(call, lambda: merges(solution, text, vocab_size), expected, because=because)


# --- the vocabulary ------------------------------------------------------------------------------


def test_the_vocabulary_maps_bytes_to_ints(solution):
    vocabulary(solution, "abab", 257)


def test_one_training_leaves_nothing_to_the_next(solution):
    says = "Each call starts afresh, with its own text and its own vocab_size: nothing of one call reaches the next. "
    says += OUTLIVES
    first = merges(solution, "abab xyxy abab", 258)
    assert_learns(solution, "abab xyxy abab", 257, first[:1], says)
    merges(solution, "the cat sat", 262)
    assert_learns(solution, "abab xyxy abab", 258, first, says)


def test_the_dict_belongs_to_the_caller(solution):
    ranks = vocabulary(solution, "cdcd", 257)
    before = dict(ranks)
    ranks.clear()
    says = "The dict of the first call was emptied by its caller, which must not be seen by the second one."
    assert_equal(len(vocabulary(solution, "cdcd", 257)), len(before), "the size of a second call's dict", because=says)


def test_a_vocabulary_of_256_has_no_merge(solution):
    says = "vocab_size counts the bytes too: 256, the smallest vocabulary, has room for them and no merge."
    assert_learns(solution, "the cat sat", 256, [], says)


def test_the_single_bytes_have_the_ranks_0_to_255(solution):
    ranks = vocabulary(solution, "the cat sat", 256)
    wrong = [byte for byte in range(256) if ranks.get(bytes([byte])) != byte]
    observe("bytes without their rank", wrong)
    if wrong:
        token = bytes(wrong[:1])
        fail(
            f"the rank of the single byte {token!r} is not what it should be:",
            expected=wrong[0], got=ranks.get(token, "there is no such token"),
            because="All 256 bytes are in, whether the text has them or not, and each has its own value as its rank.",
        )  # fmt: skip
    assert_equal(
        len(ranks), 256, "the number of tokens of train_bpe('the cat sat', 256)",
        because="There are 256 single bytes, bytes([0]) to bytes([255]), and here nothing else.",
    )  # fmt: skip


def test_the_first_merge_has_rank_256_and_the_next_257(solution):
    ranks = vocabulary(solution, "abcabcabd", 258)
    found = sorted(rank for token, rank in ranks.items() if len(token) > 1)
    says = "The single bytes have the ranks 0 to 255, so merges are numbered from 256 on, in the order of learning."
    assert_equal(found, [256, 257], "the list of the ranks of two merges", because=says)


@pytest.mark.parametrize("vocab_size", [255, 100, 0, -1])
def test_a_vocabulary_below_256_is_refused(solution, vocab_size):
    says = "A vocabulary below 256 cannot hold the bytes; a message with the value and the limit tells a reader why."
    call = f"train_bpe('the cat', {vocab_size})"
    with assert_raises(ValueError, call, naming=[vocab_size, (256, 255, "byte")], because=says):
        solution.train_bpe("the cat", vocab_size)


# --- one merge -----------------------------------------------------------------------------------


def test_the_first_merge_is_the_most_frequent_pair(solution):
    says = "(a, b) is there twice and every other pair once: of all neighbours the most frequent pair is merged."
    assert_learns(solution, "xyabzab", 257, [b"ab"], says)


def test_training_starts_from_utf8_bytes(solution):
    says = "In UTF-8 the letter é has two bytes, c3 and a9, which stand together three times."
    assert_learns(solution, "éxéyé", 257, ["é".encode()], says)
    # 漢 is e6 bc a2 and 漣 is e6 bc a3.
    says = "The most frequent pair is e6 bc, which 漢 and 漣 share: a token may be a part of a character."
    assert_learns(solution, "漢漣漢", 257, [b"\xe6\xbc"], says)


def test_every_adjacent_position_counts(solution):
    says = "In aaa the pair (a, a) stands twice, at positions 0 and 1, as often as (b, c), and it is met first."
    assert_learns(solution, "aaaxbcybc", 257, [b"aa"], says)
    says = "(c, d) stands there three times, and (a, a) at two positions of aaa, no more."
    assert_learns(solution, "aaaxcdycdzcd", 257, [b"cd"], says)


def test_a_piece_that_comes_again_counts_again(solution):
    says = "The piece ' ab' stands in the text three times, so its pairs count three times, and (x, y) only twice."
    assert_learns(solution, "xy?xy ab ab ab", 257, [b" a"], says)


# In the fourth, (n, o) and (o, n) stand three times each; in the last two, all pairs once.
TIES = [
    ("bazyazxbaxzy", b"ba"), ("zxxybbaxyba", b"xy"), ("zy ba ba zy", b"zy"),
    ("no on no on, on no", b"no"), ("xyab", b"xy"), ("cdxyab", b"cd"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "token"), TIES)
def test_of_equals_the_pair_met_first_is_merged(solution, text, token):
    says = "Of pairs with the same count the one that the text has first is merged, whatever its bytes or its word."
    assert_learns(solution, text, 257, [token], says)


# --- one merge after the other -------------------------------------------------------------------


def test_a_merge_is_one_token_from_then_on(solution):
    says = "After the first merge the text is ab c x ab c y ab z, and the pair (ab, c) is the most frequent one."
    assert_learns(solution, "abcxabcyabz", 258, [b"ab", b"abc"], says)


def test_a_merge_replaces_its_pair_wherever_it_stands(solution):
    says = "After (a, b) the text is ab x ab y ab y z, in which (ab, y) is the most frequent pair."
    assert_learns(solution, "abxabyabyz", 258, [b"ab", b"aby"], says)


def test_training_replaces_from_left_to_right_without_overlap(solution):
    says = "aaaaa becomes aa aa a: from the left, and a byte that is used up is not used again."
    assert_learns(solution, "aaaaa", 259, [b"aa", b"aaaa", b"aaaaa"], says)


def test_what_follows_the_last_merge_is_kept(solution):
    says = "After (a, b) the text is ab x ab c: the c at its end, outside of any merge, is still there."
    assert_learns(solution, "abxabc", 260, [b"ab", b"abx", b"abxab", b"abxabc"], says)


def test_ties_are_decided_in_the_text_as_it_is_now(solution):
    says = "In x yz a b c yz a b x yz, the text after the first merge, three pairs stand twice: (x, yz) comes first."
    assert_learns(solution, "xyzabcyzabxyz", 259, [b"yz", b"xyz", b"ab"], says)


@pytest.mark.parametrize("vocab_size", [257, 259, 262])
def test_training_ends_at_vocab_size(solution, vocab_size):
    ranks = vocabulary(solution, "the cat sat on the mat that the cat had", vocab_size)
    says = "vocab_size counts everything, the 256 bytes and the merges, so there are vocab_size - 256 merges."
    assert_equal(len(ranks), vocab_size, f"the number of tokens of train_bpe(..., {vocab_size})", because=says)


ENDS = [("", []), ("a", []), ("ab", [b"ab"]), ("aba", [b"ab", b"aba"])]


@pytest.mark.parametrize(("text", "expected"), ENDS, ids=repr)
def test_training_ends_when_no_pair_is_left(solution, text, expected):
    says = "A pair that stands there once is merged too; training ends when each piece is one token, below vocab_size."
    assert_learns(solution, text, 300, expected, says)


# --- the text and its pieces ----------------------------------------------------------------------

AS_IT_IS = {
    "capitals": ("AB ab AB", [b"AB"], "A and a are different bytes, so (A, B) is there twice and (a, b) once"),
    "white space at the end": ("x   ", [b"  "], "White space at the end of a text is text too"),
    "white space at the start": ("   x", [b"  "], "White space at the start of a text is text too"),
    "accents": ("e\u0301 a\u0301", [b"\xcc\x81"], "The accent is a character of its own here, with the bytes cc 81"),
    "line ends": ("a\r\n\r\n", [b"\r\n"], "A line end of two characters has two bytes"),
    "a byte order mark": ("\ufeffa", [b"\xef\xbb"], "The mark at the start has three bytes, ef bb bf"),
}


@pytest.mark.parametrize("case", AS_IT_IS)
def test_training_takes_the_text_as_it_is(solution, case):
    text, expected, rule = AS_IT_IS[case]
    assert_learns(solution, text, 257, expected, f"{rule}: training takes every character of the text as it comes.")


PIECES = {
    "a second piece": ("ab c", [b"ab", b" c"], "The pieces are 'ab' and ' c', and both are learned from"),
    "words": ("ab ab ab", [b"ab", b" ab"], "A space belongs to the word after it: 'ab', ' ab', ' ab'"),
    "digits": ("a1a1a1", [], "Letters and digits are pieces of their own, 'a', '1', 'a', so there is no pair"),
    "signs": ("x!x!x!", [], "Letters and signs are pieces of their own, 'x', '!', 'x', so there is no pair"),
    "contractions": ("we'll we'll", [b"we", b"'l", b"'ll", b" we"], "The pieces are 'we', \"'ll\", ' we' and \"'ll\""),
    "lines": ("b\nb\nb", [], "A line end is a piece of its own, 'b', '\\n', 'b', so there is no pair"),
    "empty lines": ("b\n\n\nb\n\n\nb", [b"\n\n"], "Line ends are text too, in the pieces 'b', '\\n\\n', '\\n', 'b'"),
    "other scripts": ("éa éa", [b"\xc3\xa9", b"\xc3\xa9a", b" \xc3\xa9a"], "é is a letter: 'éa', ' éa'"),
    "accents": ("e\u0301e\u0301", [b"\xcc\x81"], "A combining accent is no letter, so it stands with the signs"),
    "runs of spaces": ("a   a   a", [b"  ", b" a"], "Of a run of spaces the last one goes with the word"),
}


@pytest.mark.parametrize("case", PIECES)
def test_merges_stay_inside_the_pieces_of_the_pattern(solution, case):
    text, expected, rule = PIECES[case]
    says = f"{rule}; the pattern cuts the text first, and no merge reaches from one piece into the next."
    assert_learns(solution, text, 300, expected, says)


def test_a_special_token_is_text_to_training(solution):
    says = "Special tokens play no part in training, so the pieces are '<|', 'end', '|><|', 'end' and '|>'."
    assert_learns(solution, "<|end|><|end|>", 300, [b"<|", b"en", b"end", b"|>", b"|><|"], says)


# --- all of it together --------------------------------------------------------------------------


@cache
def definition(reference, text, vocab_size):
    """The merges of the reference, noting nothing, as it is not run for each solution."""
    return [token for token, rank in reference.train_bpe(text, vocab_size).items() if rank >= 256]


@pytest.mark.parametrize("letters", ["ab", "abcde  ", "aé漢 \n", "ab1 '.s"], ids=repr)
def test_longer_training_makes_the_merges_of_the_definition(solution, reference, letters):
    text = draw_text("training", letters, 260)
    says = "Count the neighbours in the pieces as they are now, replace the first of the most frequent pairs, repeat."
    call = f"the list of merges of a random text of {letters!r}"
    assert_gives(call, lambda: merges(solution, text, 285), definition(reference, text, 285), because=says)
