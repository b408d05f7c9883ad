"""Problem 14, part 2: what train_val_split promises, from cause to consequence."""

import string

import pytest

from common.testing import assert_equal, assert_raises, fail, observe
from common.testing.tokens import assert_gives

LETTERS = string.ascii_letters  # 52 different characters: a part tells where it was cut


def parts(solution, text=LETTERS, *fraction):
    """The two parts, once they are known to be two texts."""
    result = solution.train_val_split(text, *fraction)
    pair = isinstance(result, tuple | list) and len(result) == 2
    kinds = [type(part).__name__ for part in result] if pair else [type(result).__name__]
    observe("what train_val_split returns", kinds)
    if kinds != ["str", "str"]:
        fail(
            "train_val_split does not return two texts:", expected="(train, val), two str",
            got=f"({', '.join(kinds)})" if pair else kinds[0],
            because="It returns a pair. The text is cut before it becomes words, bytes or tokens, and a slice of a str "
            "is a str.",
        )  # fmt: skip
    return tuple(result)


def test_the_text_is_cut_into_two_texts(solution):
    parts(solution)


def test_the_training_part_is_the_start_of_the_text(solution):
    train, _ = parts(solution)
    assert_equal(
        train, LETTERS[: len(train)], "the training part",
        because="It comes first in the pair, and is the start of the text, with its characters in their own order.",
    )  # fmt: skip


def test_the_validation_part_is_all_that_is_left(solution):
    train, val = parts(solution)
    observe("the length of the validation part", float(len(val)))
    assert_equal(
        val, LETTERS[len(train) :], "the validation part",
        because=f"It is what follows the training part, which has {len(train)} characters here: none stands in both, "
        "and none in neither.",
    )  # fmt: skip


CUTS = [(50, 0.5), (40, 0.75), (13, 0.25), (15, 0.9), (40, 0.125), (10, 0.1), (3, 0.5), (51, 0.99)]


def test_the_cut_is_where_the_fraction_says(solution):
    says = "int(len(text) * train_fraction) characters are for training: train_fraction is their share, of all "
    says += "characters, rounded down."
    sizes = [len(parts(solution, LETTERS[:length], fraction)[0]) for length, fraction in CUTS]
    for (length, fraction), size in zip(CUTS, sizes, strict=True):
        observe(f"the size at {fraction} of {length}", float(size))
    for (length, fraction), size in zip(CUTS, sizes, strict=True):
        what = f"the number of characters for training in train_val_split(text, {fraction}), of {length} characters,"
        assert_equal(size, int(length * fraction), what, because=says)


@pytest.mark.parametrize("length", [50, 14])
def test_the_cut_is_at_nine_tenths_unless_told_otherwise(solution, length):
    assert_equal(
        len(parts(solution, LETTERS[:length])[0]), int(length * 0.9),
        f"the number of characters in the training part of train_val_split(text), for {length} characters,",
        because="train_fraction is 0.9 where it is left out, and the cut is rounded down.",
    )  # fmt: skip


SENTENCE = "é你好  \n\n€ a. naïve sentence,\n cut in the middle of a word. "


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5, 0.7, 0.75])
def test_characters_are_counted_and_not_bytes_or_words(solution, fraction):
    cut = int(len(SENTENCE) * fraction)
    says = f"The text has {len(SENTENCE)} characters, whatever bytes, words and lines they make: the first {cut} are "
    says += "for training and the others for validation, all of them as they are."
    for place, name in enumerate(("training", "validation")):
        assert_gives(
            f"the {name} part of a text with é, € and double spaces, at {fraction},",
            lambda i=place: parts(solution, SENTENCE, fraction)[i], (SENTENCE[:cut], SENTENCE[cut:])[place],
            because=says,
        )  # fmt: skip


def test_the_arguments_of_the_split_go_by_their_names_too(solution):
    pair = solution.train_val_split(text="low tide", train_fraction=0.5)
    says = "The README's Build section has the names."
    assert_equal(list(pair), ["low ", "tide"], "the list of parts, the arguments by name,", because=says)


@pytest.mark.parametrize("fraction", [-0.1, 1.5, 0.0, 1.0])
def test_a_fraction_that_leaves_a_part_empty_is_refused(solution, fraction):
    says = "A share lies above 0 and below 1. A slice does not complain: without a check one part would be empty, or "
    says += "be counted from the wrong end, and nobody is told."
    with assert_raises(ValueError, f"train_val_split(text, {fraction})", because=says):
        solution.train_val_split(LETTERS, fraction)
