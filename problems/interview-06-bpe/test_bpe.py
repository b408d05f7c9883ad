"""Interview 06: what train_bpe, encode and decode promise, from cause to consequence.

In the messages 97 is the byte of "a", 98 that of "b", and so on; 256 is the first merge.
"""

import string
import time

import pytest

from common.testing import assert_equal, assert_raises, assert_true
from common.testing.calls import OUTLIVES
from common.testing.tokens import assert_gives, draw_text, spelled

A, B, C, D, X, Y, Z = (ord(letter) for letter in "abcdxyz")


def assert_learns(solution, text, num_merges, expected, because):
    call = f"train_bpe({text!r}, {num_merges})"
    assert_gives(call, lambda: solution.train_bpe(text, num_merges), expected, because=because)


def assert_encodes(solution, text, merges, expected, because):
    call, tokens = f"encode({text!r}, {merges})", spelled(merges)
    assert_gives(call, lambda: solution.encode(text, list(merges)), expected, because=because, tokens=tokens)


def assert_decodes(solution, ids, merges, expected, because):
    call = f"decode({ids}, {merges})"
    assert_gives(call, lambda: solution.decode(list(ids), list(merges)), expected, because=because)


# --- train_bpe: one merge ------------------------------------------------------------------------


def test_no_merges_to_learn_give_an_empty_list(solution):
    assert_learns(solution, "abab", 0, [], "With num_merges=0 nothing is learned, and the list is empty.")


def test_the_first_merge_is_the_most_frequent_pair(solution):
    says = "A merge is a pair of ids. (a, b), that is (97, 98), stands there twice and every other pair once."
    assert_learns(solution, "xyabzab", 1, [(A, B)], says)


def test_training_starts_from_utf8_bytes(solution):
    says = "The ids at the start are the bytes of UTF-8, in which é has two, 195 and 169."
    assert_learns(solution, "éxé", 1, [(195, 169)], says)
    # 漢 is 230 188 162 and 漣 is 230 188 163.
    says = "The most frequent pair is (230, 188), two bytes that 漢 and 漣 share: merges know nothing of characters."
    assert_learns(solution, "漢漣漢", 1, [(230, 188)], says)


def test_every_adjacent_position_counts(solution):
    says = "In aaa the pair (a, a) stands twice, at positions 0 and 1, as often as (b, c), and it is met first."
    assert_learns(solution, "aaaxbcybc", 1, [(A, A)], says)
    says = "(c, d) stands there three times, and (a, a) at two positions of aaa, no more."
    assert_learns(solution, "aaaxcdycdzcd", 1, [(C, D)], says)


def test_pairs_reach_across_spaces_and_lines(solution):
    says = "The text is one sequence of bytes, not cut into words: a space and a line end are bytes like any other."
    assert_learns(solution, "b ab ac ad b", 1, [(ord(" "), A)], says)
    assert_learns(solution, "x\nyz\nyw", 1, [(ord("\n"), Y)], says)


WHOLE = {
    "spaces at the start": ("  b  b", [(32, 32), (256, B)]), "line ends": ("a\r\nb\r\n", [(13, 10), (A, 256)]),
    "capitals": ("Abxab.yAb", [(65, B), (256, X)]),
    "accents of their own": ("e\u0301xe\u0301", [(101, 204), (256, 129)]),
}  # fmt: skip


@pytest.mark.parametrize("what", WHOLE)
def test_training_takes_the_text_as_it_is(solution, what):
    text, expected = WHOLE[what]
    says = f"Every byte of the text counts, here {what}: nothing is stripped, normalised or put into lower case."
    assert_learns(solution, text, 2, expected, says)


EQUALS = [
    ("xyab", (X, Y)), ("cdxyab", (C, D)), ("bazyazxbaxzy", (B, A)), ("zxxybbaxyba", (X, Y)), ("bcadbcad", (B, C)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "pair"), EQUALS)
def test_of_equals_the_one_that_is_met_first_wins(solution, text, pair):
    says = "Several pairs stand there equally often, and more often than all others: the one whose first position is "
    says += "the earliest is merged."
    assert_learns(solution, text, 1, [pair], says)


# --- train_bpe: one merge after the other --------------------------------------------------------


def test_a_merge_counts_as_a_token_from_then_on(solution):
    says = "The first merge makes ab one token, 256, in all its places. In that sequence (256, c) is the most frequent."
    assert_learns(solution, "abcxabcyabz", 2, [(A, B), (256, C)], says)


def test_replacement_runs_from_left_to_right_without_overlap(solution):
    says = "aaaaa becomes 256 256 a: from the left, and a byte that is used up is not used again. Then (256, 256) is "
    says += "met first, and (257, a) is left."
    assert_learns(solution, "aaaaa", 3, [(A, A), (256, 256), (257, A)], says)


def test_a_pair_at_the_end_is_replaced_too(solution):
    says = "abab becomes 256 256: the last two ids are a pair like any other, and both are used up."
    assert_learns(solution, "abab", 2, [(A, B), (256, 256)], says)


def test_the_last_byte_is_kept(solution):
    says = "abxabc becomes 256 x 256 c: the byte at the end, which is in no merge yet, stays in the sequence."
    assert_learns(solution, "abxabc", 4, [(A, B), (256, X), (257, 256), (258, C)], says)


def test_ties_are_decided_in_the_current_sequence(solution):
    says = "After (y, z) the text is x 256 a b c 256 a b x 256: (x, 256), (256, a) and (a, b) stand there twice each, "
    says += "and now (x, 256) comes first."
    assert_learns(solution, "xyzabcyzabxyz", 3, [(Y, Z), (X, 256), (A, B)], says)


def test_the_usual_example(solution):
    says = "aaabdaaabac -> 256 a b d 256 a b a c -> 257 b d 257 b a c -> 258 d 258 a c."
    assert_learns(solution, "aaabdaaabac", 3, [(A, A), (256, A), (257, B)], says)


ALL = [("", []), ("a", []), ("ab", [(A, B)]), ("aba", [(A, B), (256, A)]), ("abc", [(A, B), (256, C)])]


@pytest.mark.parametrize(("text", "expected"), ALL, ids=[repr(text) for text, _ in ALL])
def test_training_ends_when_no_pair_is_left(solution, text, expected):
    says = "A pair that stands there once is merged too, until num_merges are made or one id is left, and then the "
    says += "merges so far are returned."
    assert_learns(solution, text, 5, expected, says)


@pytest.mark.parametrize("number", [-1, -7])
def test_a_negative_number_of_merges_is_refused(solution, number):
    says = "The smallest number of merges is 0; a message with the number that came tells its reader why."
    with assert_raises(ValueError, f'train_bpe("abab", {number})', naming=[number], because=says):
        solution.train_bpe("abab", number)


LETTERS = ["ab", "abcde ", "aé漢\n"]


@pytest.mark.parametrize("letters", LETTERS, ids=ascii)
def test_longer_training_makes_the_same_merges_as_the_definition(solution, reference, letters):
    text = draw_text("training", letters, 260)
    says = "Each step counts all neighbours in the sequence as it is now, takes the most frequent pair, of equals the "
    says += "one met first, and replaces it from left to right."
    call, right = f"train_bpe(a random text of {letters!r}, 25)", reference.train_bpe(text, 25)
    assert_gives(call, lambda: solution.train_bpe(text, 25), right, because=says)


def seconds(call):
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def test_one_pass_for_each_merge_not_one_for_each_pair(solution):
    few, many = draw_text("few", "ab", 4000), draw_text("many", string.ascii_letters, 4000)
    quick = min(seconds(lambda: solution.train_bpe(few, 1)) for _ in range(5))
    slow = min(seconds(lambda: solution.train_bpe(many, 1)) for _ in range(3))
    assert_true(
        slow < 25 * quick, "one merge of a text with 2,000 different pairs takes more than 25 times as long as one of "
        "a text of the same length with 4",
        because="One pass over the sequence counts all pairs, as Counter does. What goes through it anew for each "
        "different pair, such as list.count in a loop, takes minutes for a long text.",
    )


def test_one_training_leaves_nothing_to_the_next(solution):
    says = f"Each call starts afresh and returns a list of its own: nothing of one call reaches the next. {OUTLIVES}"
    assert_learns(solution, "abab xyxy abab", 2, [(A, B), (256, 256)], says)
    solution.train_bpe("abab xyxy abab", 2).append((0, 0))
    says = f"Here (0, 0) was appended to what a call before had returned, and a call returns a new list. {OUTLIVES}"
    for number, expected in [(1, [(A, B)]), (2, [(A, B), (256, 256)])]:
        assert_learns(solution, "abab xyxy abab", number, expected, says)


# --- encode --------------------------------------------------------------------------------------


AS_IT_IS = {
    "white space at the ends": "  two words \n", "line ends": "one\r\ntwo\rthree\r\n", "capitals": "ONE Two",
    "accents of their own": "cafe\u0301 e\u0301te\u0301", "a zero byte": "a\x00b",
}  # fmt: skip


@pytest.mark.parametrize("what", AS_IT_IS)
def test_encode_takes_the_text_as_it_is(solution, what):
    says = f"Every byte of the text counts, here {what}: nothing is stripped, normalised or put into lower case."
    assert_encodes(solution, AS_IT_IS[what], [(X, Y)], [*AS_IT_IS[what].encode()], says)


@pytest.mark.parametrize("text", ["", "hello", "é漢🙂"], ids=ascii)
def test_without_merges_a_text_is_its_bytes(solution, text):
    says = "Without merges the ids are the bytes of UTF-8, as a list of ints, which is empty for the empty text."
    assert_encodes(solution, text, [], [*text.encode()], says)


def test_a_single_byte_is_a_text_too(solution):
    assert_encodes(solution, "a", [(A, B)], [A], "There is no pair in a text of one byte, and the byte is its only id.")


def test_merges_are_applied_wherever_they_fit(solution):
    says = "Each a with a b after it is 256, and everything else stays."
    assert_encodes(solution, "abxabab", [(A, B)], [256, X, 256, 256], says)
    says = "From the left, and a byte that is used up is not used again: 256 256 a."
    assert_encodes(solution, "aaaaa", [(A, A)], [256, 256, A], says)


def test_merges_build_on_merges(solution):
    merges = [(A, B), (256, C), (257, 257)]
    says = "What a merge has made takes part in the later ones: ab is 256, abc is 257, and abcabc is 258."
    assert_encodes(solution, "abcabcabd", merges, [258, 256, D], says)


def test_merges_are_applied_in_the_order_of_training(solution):
    says = "(b, c) was learned first, so it takes the b: the lowest merge goes first, wherever it stands in the text."
    assert_encodes(solution, "abc", [(B, C), (A, B)], [A, 256], says)
    says = "(c, d) was learned before (256, c), so it takes the c: the lowest merge goes first, however long it is."
    assert_encodes(solution, "abcd", [(A, B), (C, D), (256, C)], [256, 257], says)


def test_a_merge_that_does_not_occur_is_skipped(solution):
    merges = [(X, Y), (A, B), (257, C), (257, Z)]
    says = "A merge that finds nothing changes nothing, but it keeps its id, and those after it still count."
    assert_encodes(solution, "abz", merges, [259], says)


def test_ids_that_only_begin_alike_are_not_merged(solution):
    says = "The merge is of 97 and 10, and the text is 97, 101: ids are compared whole. Written into a string, 10 also "
    says += "stands at the beginning of 101."
    assert_encodes(solution, "ae", [(A, ord("\n"))], [A, ord("e")], says)


def test_encode_uses_the_merges_it_is_given(solution):
    says = "encode learns nothing: the merges may come from another text, and (y, z) is the only one that fits."
    assert_encodes(solution, "ababab yz", [(X, Y), (Y, Z)], [A, B, A, B, A, B, ord(" "), 257], says)


@pytest.mark.parametrize("letters", ["ab", "abc ", "é漢🙂", ".*+[(|\\^$"], ids=ascii)
def test_longer_texts_are_encoded_as_the_definition_says(solution, reference, letters):
    merges = reference.train_bpe(draw_text("merges", letters, 200), 20)
    text = draw_text("text", letters, 150)
    says = "Merge 0 runs over the whole sequence from left to right, then merge 1 over what that gives, and so on."
    call, ids = f"encode of a random text of {letters!r}, with 20 merges of another,", reference.encode(text, merges)
    assert_gives(call, lambda: solution.encode(text, list(merges)), ids, because=says, tokens=spelled(merges))


def test_each_text_is_encoded_afresh(solution):
    says = "Each call starts afresh, with its own text and its own merges, and returns a list of its own: nothing of "
    says += f"one call reaches the next. {OUTLIVES}"
    merges, others = [(A, B)], [(B, A), (X, A)]
    for given, expected in [(merges, [256, X, 256]), (others, [A, B, 257, B]), (merges, [256, X, 256])]:
        assert_encodes(solution, "abxab", given, expected, says)
        solution.encode("abxab", list(given)).append(0)


# --- decode --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ids", "text"), [([], ""), ([104, 105], "hi"), ([195, 169], "é")], ids=str)
def test_bytes_are_decoded(solution, ids, text):
    assert_decodes(solution, ids, [], text, "Ids below 256 are bytes, which all together are the UTF-8 of the text.")


def test_merges_are_taken_apart(solution):
    merges = [(A, B), (256, C), (257, 256)]
    says = "The id of a merge stands for the bytes of its left part and then those of its right part, which may be "
    says += "merges themselves."
    assert_decodes(solution, [258, X, 256, 257], merges, "abcabxababc", says)


SPREAD = [
    ([110, 195, 169], [], "né"), ([240, 159, 257], [(195, 169), (153, 130)], "🙂"),
    ([256, 153, 130], [(240, 159)], "🙂"),
]  # fmt: skip


@pytest.mark.parametrize(("ids", "merges", "text"), SPREAD, ids=["bytes", "a merge at the end", "a merge at the start"])
def test_a_character_may_be_spread_over_several_ids(solution, ids, merges, text):
    says = "The bytes of a character may lie in several ids, so the bytes of all ids are joined before they are a text."
    assert_decodes(solution, ids, merges, text, says)


NO_TEXT = [([A, 255, B], "a\ufffdb"), ([195], "\ufffd"), ([169, A], "\ufffda")]


@pytest.mark.parametrize(("ids", "expected"), NO_TEXT, ids=str)
def test_bytes_that_are_no_text_become_the_replacement_character(solution, ids, expected):
    says = "A model may produce any ids. What is no valid UTF-8 becomes U+FFFD, \ufffd, as with errors='replace'."
    assert_decodes(solution, ids, [], expected, says)


UNKNOWN = [
    ([A, 258], 258, [(A, B), (256, C)]), ([256], 256, []), ([-1, A], -1, [(A, B)]), ([A, -300], -300, [(A, B)]),
    ([9999], 9999, [(A, B)]), ([A, 257, 256], 257, [(A, B)]),
]  # fmt: skip


@pytest.mark.parametrize(("ids", "unknown", "merges"), UNKNOWN, ids=[str(ids) for ids, _, _ in UNKNOWN])
def test_an_unknown_id_is_refused(solution, ids, unknown, merges):
    says = f"The ids run from 0 to 255 + len(merges), which is {255 + len(merges)} here; one below 0 is none either, "
    says += "though as an index it counts from the end. A message with the id tells its reader which one it is."
    with assert_raises(ValueError, f"decode({ids}, {merges})", naming=[unknown], because=says):
        solution.decode(list(ids), list(merges))


def test_each_list_is_decoded_afresh(solution):
    says = "Each call starts afresh, with its own ids and its own merges: nothing of one call reaches the next. "
    says += OUTLIVES
    for merges, text in [([(A, B)], "abx"), ([(X, Y)], "xyx"), ([(A, B), (256, C)], "abx")]:
        assert_decodes(solution, [256, X], merges, text, says)


# --- all of it together --------------------------------------------------------------------------

OTHER = "the cat saw 我 and 🙂, the cat and 我 saw 🙂"
TEXTS = [
    "", "a", "the cat sat on the mat, the cat sat", "aaaaaaaaaaa", "  two  spaces\r\n\ttab\n", "naïve café",
    "Cafe\u0301 OHM \u2126", "\ufeffBOM", "我喜欢猫, 我喜欢狗", "🙂🙃🙂👩‍👩‍👧", "\x00\x7f\x00\x7f",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_decode_gives_back_what_was_encoded(solution, text):
    says = "Nothing is lost, added, stripped or normalised on the way, whatever text the merges were learned on."
    for source, name in [(text, "the same text"), (OTHER, "another text")]:
        call = f"decode(encode({text!r})), with merges learned on {name},"

        def there_and_back(source=source):
            merges = solution.train_bpe(source, 30)
            return solution.decode(solution.encode(text, merges), merges)

        assert_gives(call, there_and_back, text, because=says)


def test_a_character_may_lie_anywhere_in_a_long_text(solution):
    text = "a" + "猫" * 3000  # its bytes are 1, and then 3 for each
    got = solution.decode(solution.encode(text, []), [])
    wrong = next((i for i, (a, b) in enumerate(zip(got, text, strict=False)) if a != b), min(len(got), len(text)))
    assert_equal(
        (len(got), got[wrong : wrong + 1]), (len(text), text[wrong : wrong + 1]),
        f"the length of 'a' and 3,000 times '猫' after encode and decode, and character {wrong} of it",
        because="All bytes become text together, in one go: a character may begin before any place at which they could "
        "be cut, and end behind it.",
    )


@pytest.mark.parametrize("name", ["encode", "decode"])
def test_the_callers_lists_are_left_as_they_were(solution, name):
    merges, ids = [(A, B), (256, C), (X, Y)], [257, 258, A]
    before = {"merges": list(merges), "ids": list(ids)}
    if name == "encode":
        solution.encode("abcxyab", merges)
    else:
        solution.decode(ids, merges)
    says = "They belong to the caller, who uses them again: pop, reverse, sort, append and del work in place."
    for what, value in (("merges", merges), ("ids", ids)):
        assert_equal(value, before[what], f"the caller's list of {what}, after {name},", because=says)
