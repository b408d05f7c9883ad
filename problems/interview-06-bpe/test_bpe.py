"""Interview 06: what train_bpe, encode and decode promise, from cause to consequence.

In the messages 97 is the byte of "a", 98 that of "b", and so on; 256 is the first merge.
"""

import random

import pytest

from common.testing import assert_equal, assert_raises, fail, observe

A, B, C, D, X, Y, Z = (ord(letter) for letter in "abcdxyz")


def expect(got, expected, what, because):
    """Compare two lists, with a sentence for the usual wrong types."""
    if got is None:
        because = "The function ends without a return."
    elif isinstance(expected, list) and not isinstance(got, list):
        because = f"It returns a list, not a {type(got).__name__}."
    assert_equal(got, expected, what, because=because)


# --- train_bpe: one merge ------------------------------------------------------------------------


def test_no_merges_to_learn_give_an_empty_list(solution):
    expect(solution.train_bpe("abab", 0), [], 'train_bpe("abab", 0)', "With num_merges=0 nothing is learned.")


def test_the_first_merge_is_the_most_frequent_pair(solution):
    got = solution.train_bpe("xyabzab", 1)
    says = "(a, b) is there twice, every other pair once: count adjacent pairs of bytes, and take the largest count."
    if isinstance(got, list) and got and got[0] == "ab":
        says = "A merge is a pair of ids, (97, 98), not a piece of text."
    elif isinstance(got, list) and got and not isinstance(got[0], tuple):
        says = "A merge is a tuple of two ids."
    expect(got, [(A, B)], 'train_bpe("xyabzab", 1)', says)


def test_training_starts_from_utf8_bytes(solution):
    says = "The ids at the start are bytes: text.encode('utf-8'). The letter é has two, 195 and 169; ord('é') is 233, no byte of its own."
    expect(solution.train_bpe("éxé", 1), [(195, 169)], 'train_bpe("éxé", 1)', says)


def test_every_adjacent_position_counts(solution):
    says = "In aaa the pair (a, a) stands twice, at positions 0 and 1, so it ties with (b, c) and comes first. Count all neighbours, also those that overlap."
    expect(solution.train_bpe("aaaxbcybc", 1), [(A, A)], 'train_bpe("aaaxbcybc", 1)', says)
    says = "(c, d) stands three times, (a, a) only twice: each position counts once."
    expect(solution.train_bpe("aaaxcdycdzcd", 1), [(C, D)], 'train_bpe("aaaxcdycdzcd", 1)', says)


def test_pairs_reach_across_spaces_and_lines(solution):
    says = "The text is one sequence: a space and a line end are bytes like any other, and pairs reach across them. No words, no splitting."
    expect(solution.train_bpe("b ab ac ad b", 1), [(ord(" "), A)], 'train_bpe("b ab ac ad b", 1)', says)
    expect(solution.train_bpe("x\nyz\nyw", 1), [(ord("\n"), Y)], 'train_bpe("x\\nyz\\nyw", 1)', says)


@pytest.mark.parametrize(("text", "pair"), [("xyab", (X, Y)), ("cdxyab", (C, D)), ("bazyazxbaxzy", (B, A)), ("zxxybbaxyba", (X, Y))])
def test_of_equals_the_one_that_is_met_first_wins(solution, text, pair):
    says = "Of pairs with the same count the one whose first position is earliest in the current sequence is merged: not the smallest, the largest or the last."
    expect(solution.train_bpe(text, 1), [pair], f'train_bpe("{text}", 1)', says)


# --- train_bpe: one merge after the other --------------------------------------------------------


def test_a_merge_counts_as_a_token_from_then_on(solution):
    says = "After the first merge ab is one token, 256, and (256, c) is the most frequent pair: replace in the sequence, then count anew. Merge i makes the id 256 + i."
    expect(solution.train_bpe("abcxabcyabz", 2), [(A, B), (256, C)], 'train_bpe("abcxabcyabz", 2)', says)


def test_replacement_runs_from_left_to_right_without_overlap(solution):
    says = "aaaaa becomes (256, 256, a): from the left, and a byte that is used up is not used again. So the next pair is (256, 256), then (257, a)."
    expect(solution.train_bpe("aaaaa", 3), [(A, A), (256, 256), (257, A)], 'train_bpe("aaaaa", 3)', says)


def test_a_pair_at_the_end_is_replaced_too(solution):
    expect(solution.train_bpe("abab", 2), [(A, B), (256, 256)], 'train_bpe("abab", 2)', "abab becomes 256 256: the last two ids are a pair like any other, and both are used up.")


def test_the_last_byte_is_kept(solution):
    says = "After (a, b) the sequence is 256, x, 256, c: the byte that ends the text, outside of any merge, stays in it."
    expect(solution.train_bpe("abxabc", 4), [(A, B), (256, X), (257, 256), (258, C)], 'train_bpe("abxabc", 4)', says)


def test_ties_are_decided_in_the_current_sequence(solution):
    # After (y, z) the sequence is x 256 a b x 256 ...: what the text looked like before does not matter.
    says = "The counts are made anew for each merge, and of equals the first in the sequence as it is now comes first: no order from earlier rounds, no sorting."
    expect(solution.train_bpe("xyzabcyzabxyz", 3), [(Y, Z), (X, 256), (A, B)], 'train_bpe("xyzabcyzabxyz", 3)', says)


def test_the_usual_example(solution):
    expected = [(A, A), (256, A), (257, B)]
    expect(solution.train_bpe("aaabdaaabac", 3), expected, 'train_bpe("aaabdaaabac", 3)', "aaabdaaabac -> 256 a b d 256 a b a c -> 257 b d 257 b a c -> 258 d 258 a c.")


@pytest.mark.parametrize(("text", "expected"), [("", []), ("a", []), ("ab", [(A, B)]), ("aba", [(A, B), (256, A)])], ids=repr)
def test_training_ends_when_no_pair_is_left(solution, text, expected):
    says = "It goes on until num_merges merges are made or the sequence has one id left. A pair that stands only once is merged too; with no pair left it ends, without an error."
    expect(solution.train_bpe(text, 5), expected, f'train_bpe("{text}", 5)', says)


def test_a_negative_number_of_merges_is_refused(solution):
    for number in (-1, -7):
        with assert_raises(ValueError, f'train_bpe("abab", {number})', naming=[number], because="num_merges is at least 0; say in the message what came instead."):
            solution.train_bpe("abab", number)


@pytest.mark.parametrize("letters", ["ab", "abcde ", "aé漢\n"], ids=repr)
def test_longer_training_makes_the_same_merges_as_the_definition(solution, reference, letters):
    text = "".join(random.Random(letters).choices(letters, k=260))
    expected = reference.train_bpe(text, 25)
    got = solution.train_bpe(text, 25)
    first = next((i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), None) if isinstance(got, list) else None
    observe(f"merges of {letters!r}", got)
    if got != expected:
        fail(
            f"25 merges of a random text of {letters!r} are not what they should be:", expected=f"{len(expected)} merges" if first is None else f"{expected[first]} as merge {first}",
            got=(f"{len(got)} merges" if isinstance(got, list) else type(got).__name__) if first is None else str(got[first]),
            because="Each step counts all neighbours in the current sequence, merges the most frequent pair, of equals the first one, and replaces it from left to right.",
        )  # fmt: skip


# --- encode --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "hello", "é漢🙂"], ids=repr)
def test_without_merges_a_text_is_its_bytes(solution, text):
    expect(solution.encode(text, []), list(text.encode()), f"encode({text!r}, [])", "Without merges the ids are the UTF-8 bytes, as a list; the empty text gives the empty list.")


def test_merges_are_applied_wherever_they_fit(solution):
    expect(solution.encode("abxabab", [(A, B)]), [256, X, 256, 256], 'encode("abxabab", [(97, 98)])', "Each a followed by b becomes 256; everything else stays.")
    expect(solution.encode("aaaaa", [(A, A)]), [256, 256, A], 'encode("aaaaa", [(97, 97)])', "From left to right, without overlap: 256 256 a.")


def test_merges_build_on_merges(solution):
    merges = [(A, B), (256, C), (257, 257)]
    expect(solution.encode("abcabcabd", merges), [258, 256, D], 'encode("abcabcabd", [(97, 98), (256, 99), (257, 257)])', "A merge may take part in later ones: run every merge over what the earlier ones made.")


def test_merges_are_applied_in_the_order_of_training(solution):
    says = "(b, c) was learned first, so it comes first, and the a is left alone: the lowest merge wins, whatever comes first in the text or is longer."
    expect(solution.encode("abc", [(B, C), (A, B)]), [A, 256], 'encode("abc", [(98, 99), (97, 98)])', says)
    says = "(c, d) is learned before (256, c), so the c is taken and abc is never made."
    expect(solution.encode("abcd", [(A, B), (C, D), (256, C)]), [256, 257], 'encode("abcd", [(97, 98), (99, 100), (256, 99)])', says)


def test_a_merge_that_does_not_occur_is_skipped(solution):
    expect(solution.encode("abz", [(X, Y), (A, B), (257, C), (257, Z)]), [259], 'encode("abz", [(120, 121), (97, 98), (257, 99), (257, 122)])', "A merge that finds nothing changes nothing, but it keeps its id, and those after it still count.")


def test_encode_uses_the_merges_it_is_given(solution):
    merges = [(X, Y), (Y, Z)]
    expect(solution.encode("ababab yz", merges), [A, B, A, B, A, B, 32, 257], 'encode("ababab yz", [(120, 121), (121, 122)])', "encode learns nothing: it uses merges as they are, also where they come from another text.")


@pytest.mark.parametrize("letters", ["ab", "abc ", "é漢🙂"], ids=repr)
def test_longer_texts_are_encoded_as_the_definition_says(solution, reference, letters):
    merges = reference.train_bpe("".join(random.Random(letters).choices(letters, k=200)), 20)
    text = "".join(random.Random(letters + "!").choices(letters, k=150))
    got = solution.encode(text, list(merges))
    observe(f"encoded {letters!r}", got)
    if got != reference.encode(text, merges):
        fail(f"a random text of {letters!r} and 20 merges of another are not encoded as they should be:", expected=f"{len(reference.encode(text, merges))} ids, as from the merges one after the other", got=f"{len(got)} ids" if isinstance(got, list) else type(got).__name__, because="Run merge 0 over the whole sequence from left to right, then merge 1 over the result, and so on.")


# --- decode --------------------------------------------------------------------------------------


def test_bytes_are_decoded(solution):
    expect(solution.decode([], []), "", "decode([], [])", "No ids, no text.")
    expect(solution.decode([104, 105], []), "hi", "decode([104, 105], [])", "Ids below 256 are bytes.")


def test_merges_are_taken_apart(solution):
    merges = [(A, B), (256, C), (257, 256)]
    expect(solution.decode([258, X, 256, 257], merges), "abcabxababc", "decode([258, 120, 256, 257], [(97, 98), (256, 99), (257, 256)])", "An id of a merge stands for the bytes of its left part, then those of its right part, each taken apart in turn.")


@pytest.mark.parametrize(("ids", "merges"), [([195, 169], []), ([240, 159, 257], [(195, 169), (153, 130)]), ([256, 153, 130], [(240, 159)])], ids=["two bytes", "a merge at the end", "a merge at the start"])
def test_a_character_may_be_spread_over_several_ids(solution, ids, merges):
    expected = "é" if len(merges) == 0 else "🙂"
    expect(solution.decode(list(ids), list(merges)), expected, f"decode({ids}, {merges})", "A character of several bytes may lie in several ids: join the bytes of all ids first, and decode the whole once.")


@pytest.mark.parametrize(("ids", "expected"), [([A, 255, B], "a\ufffdb"), ([195], "\ufffd"), ([169, A], "\ufffda")], ids=str)
def test_bytes_that_are_no_text_become_the_replacement_character(solution, ids, expected):
    try:
        got = solution.decode(list(ids), [])
    except UnicodeDecodeError as error:
        observe("decode raises", str(error))
        fail(f"decode({ids}, []) fails on bytes that are no valid UTF-8:", expected=ascii(expected), got=f"UnicodeDecodeError: {error}", because="A model may produce any ids: decode(\"utf-8\", errors=\"replace\") puts U+FFFD there.")
    expect(got, expected, f"decode({ids}, [])", "Bytes that are no valid UTF-8 become U+FFFD, the character �: errors=\"replace\". They are not left out.")


@pytest.mark.parametrize(("ids", "unknown", "merges"), [([A, 258], 258, [(A, B), (256, C)]), ([256], 256, []), ([-1, A], -1, [(A, B)]), ([A, -300], -300, [(A, B)]), ([9999], 9999, [(A, B)])], ids=str)
def test_an_unknown_id_is_refused(solution, ids, unknown, merges):
    says = f"The ids are 0 to {255 + len(merges)} here, 255 + len(merges): say in the message which one is not among them."
    if unknown < 0:
        says += " A negative index counts from the end of a list, without an error."
    with assert_raises(ValueError, f"decode({ids}, {merges})", naming=[unknown], because=says):
        solution.decode(list(ids), list(merges))


# --- all of it together --------------------------------------------------------------------------

TEXTS = ["", "a", "the cat sat on the mat, the cat sat", "aaaaaaaaaaa", "  two  spaces\r\n\ttab\n", "naïve café", "Cafe\u0301 OHM \u2126", "\ufeffBOM", "我喜欢猫, 我喜欢狗", "🙂🙃🙂👩‍👩‍👧", "\x00\x7f\x00\x7f"]


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_decode_gives_back_what_was_encoded(solution, text):
    for source in (text, "the cat saw 我 and 🙂, the cat and 我 saw 🙂"):
        merges = solution.train_bpe(source, 30)
        got = solution.decode(solution.encode(text, merges), merges)
        expect(got, text, f"decode(encode({text!r})), with merges learned on {'the same text' if source == text else 'another text'},", "Nothing may be lost, added, stripped or normalised on the way.")


def test_the_merges_are_left_as_they_were(solution):
    merges = [(A, B), (256, C), (X, Y)]
    for name, call in {"encode": lambda: solution.encode("abcxyab", merges), "decode": lambda: solution.decode([257, 258], merges)}.items():
        before = list(merges)
        call()
        expect(merges, before, f"merges after {name}", "The caller's list is changed: pop, reverse, sort, append and del work in place. Make a copy, or read only.")
