"""Problem 13, part 2: what BPETokenizer.encode promises, from cause to consequence.

Most vocabularies here are tiny and made by hand, so that each check has one cause.
"""

from functools import cache

import pytest

from common.testing import assert_equal
from common.testing.calls import OUTLIVES
from common.testing.tokens import BYTES, SHIFTED, assert_gives, draw_text, ranks_of

END = {"<|end|>": 5000}


def assert_encodes(solution, text, merges, tokens, because):
    """Check the ids of a text; they are given as the tokens that they stand for."""
    named = ", ".join(m if isinstance(m, str) else m.hex(" ") for m in merges) or "no merges"
    assert_ids(solution, text, ranks_of(*merges), tokens, because, f" with {named}")


def assert_cut(solution, cut, because, special=None, separator="/"):
    """Check into what a text is cut, where merges make one token of each piece."""
    text, pieces = cut.replace(separator, ""), cut.split(separator)
    about = ", where every stretch of the text is a token" + (" and <|end|> is special" if special == END else "")
    assert_ids(solution, text, every_stretch(text), pieces, because, about, special)


def assert_ids(solution, text, ranks, tokens, because, about, special=None):
    table = ranks | {name.encode(): i for name, i in (special or {}).items()}
    assert_gives(
        f"encode({text!r}){about},",
        lambda: solution.BPETokenizer(dict(ranks), special).encode(text),
        [table[token if isinstance(token, bytes) else token.encode()] for token in tokens],
        because=because, tokens={i: token for token, i in table.items()},
    )  # fmt: skip


@cache
def every_stretch(text, longest=16):
    """Ranks in which each stretch of the text is a token: in whatever order pairs are merged, a piece becomes one."""
    data = text.encode()
    found = {data[i : i + n] for n in range(2, longest + 1) for i in range(len(data) - n + 1)}
    return ranks_of(*sorted(found, key=lambda token: (len(token), token)))


# --- ids -----------------------------------------------------------------------------------------


def test_the_empty_text_has_no_ids(solution):
    says = "Nothing in, an empty list out: nothing is put in front, and nothing at the end."
    assert_gives("encode('')", lambda: solution.BPETokenizer(ranks_of("ab")).encode(""), [], because=says)


def test_without_merges_a_text_is_its_utf8_bytes(solution):
    says = "In UTF-8 'h' is one byte and 'é' two, c3 and a9; without merges each is a token of its own."
    assert_encodes(solution, "hé", [], ["h", b"\xc3", b"\xa9"], says)


def test_the_id_of_a_byte_is_its_rank(solution):
    says = "The byte b has the rank (b + 100) % 256 in this table, as '!' has 0 in GPT-2's: ids come from the table."
    assert_ids(solution, "ié", SHIFTED, ["i", b"\xc3", b"\xa9"], says, " where the bytes have other ranks")


def test_a_token_may_come_of_either_of_two_pairs(solution):
    says = "'abc' is made of 'ab' and 'c', or of 'a' and 'bc': any two neighbours that make a token of the table are "
    says += "merged, the lowest rank first. Here that is 'ab', then the 'bc' at the end, and then 'ab' with 'c'."
    assert_ids(solution, "abcbc", ranks_of("ab", "bc", "abc"), ["abc", "bc"], says, " where ab is the first merge")


def test_the_order_of_the_dict_does_not_matter(solution):
    ranks = dict(reversed(ranks_of("ab", "bc", "abc").items()))
    says = "A rank is the value in the dict, wherever the entry stands; this dict lists the last merge first."
    assert_ids(solution, "abcbc", ranks, ["abc", "bc"], says, " with the dict in reverse order")
    ranks = dict(reversed(ranks_of("ab", "bc").items()))
    assert_ids(solution, "abc", ranks, ["ab", "c"], says, " with the dict in reverse order")


# --- nothing is changed and nothing remembered ---------------------------------------------------


def test_the_dicts_of_the_constructor_are_left_as_they_were(solution):
    ranks, special = ranks_of("ab", "abc"), dict(END)
    solution.BPETokenizer(ranks, special).encode("abc<|end|>漢")
    says = "Both dicts are the caller's, who may make a second tokenizer of them: write into a copy, dict(...)."
    for name, given, before in [("mergeable_ranks", ranks, ranks_of("ab", "abc")), ("special_tokens", special, END)]:
        changed = dict(given.items() ^ before.items())
        assert_equal(changed, {}, f"what has changed in the caller's {name}", because=says)


def test_each_text_is_encoded_afresh(solution):
    tokenizer = solution.BPETokenizer(ranks_of("ab"))
    says = "One tokenizer takes many texts, and nothing of one reaches the next."
    first = [*tokenizer.encode("abxab")]
    tokenizer.encode("x ab abab")
    assert_gives("encode('abxab'), again after another text,", lambda: tokenizer.encode("abxab"), first, because=says)


def test_a_list_that_was_returned_belongs_to_the_caller(solution):
    tokenizer = solution.BPETokenizer(ranks_of("ab"))
    ids = tokenizer.encode("abx")
    first = [*ids]
    ids.append(0)
    says = "The list of the first call was changed by its caller, which must not be seen by the second one. A list "
    says += "that is kept, as in a memo, is neither returned nor changed: +=, extend and operator.iadd change it."
    assert_gives("encode('abx'), the second time,", lambda: tokenizer.encode("abx"), first, because=says)


def test_single_bytes_have_the_ids_of_the_table(solution):
    says = "Every id comes from the table, those of single bytes too: only in a table from train_bpe is it the byte's "
    says += "own number, ord('q') = 113."
    call = "encode('q') of a tokenizer whose table has 213 for it"
    assert_gives(call, lambda: solution.BPETokenizer(dict(SHIFTED)).encode("q"), [213], because=says)


def test_two_tokenizers_have_their_own_ids(solution):
    first = solution.BPETokenizer(dict(BYTES))
    before = [*first.encode("q")]
    second = solution.BPETokenizer(dict(SHIFTED))
    says = f"Each of two tokenizers has its own table and its own ids: nothing of one reaches the other. {OUTLIVES}"
    after = "encode('q') of a tokenizer, after another one was made,"
    assert_gives(after, lambda: first.encode("q"), before, because=says)
    other = "encode('q') of a tokenizer whose table has 213 for it, after one with 113,"
    assert_gives(other, lambda: second.encode("q"), [213], because=says)


# --- merges --------------------------------------------------------------------------------------


def test_merges_are_applied_wherever_they_fit(solution):
    says = "Each a with a b after it is one token, and everything else stays."
    assert_encodes(solution, "abxabab", ["ab"], ["ab", "x", "ab", "ab"], says)


def test_merges_go_from_left_to_right_without_overlap(solution):
    says = "aaaaa becomes aa aa a: from the left, and a byte that is used up is not used again."
    assert_encodes(solution, "aaaaa", ["aa"], ["aa", "aa", "a"], says)


def test_merges_build_on_merges(solution):
    says = "What a merge has made takes part in the next one, until no neighbours make a token."
    assert_encodes(solution, "abcabcabd", ["ab", "abc", "abcabc"], ["abcabc", "ab", "d"], says)


BY_RANK = [
    ("abc", ["bc", "ab"], ["a", "bc"], "(b, c) was learned before (a, b), so it takes the b"),
    ("abc", ["ab", "bc"], ["ab", "c"], "(a, b) was learned before (b, c), so it takes the b"),
    ("abcd", ["ab", "cd", "abc"], ["ab", "cd"], "(c, d) was learned before (ab, c), so it takes the c"),
    ("xabcx", ["xa", "ab", "abc", "cx"], ["xa", "b", "cx"], "(x, a) was learned before (a, b), so it takes the a"),
    ("abxyabc", ["ab", "xy", "yab"], ["ab", "xy", "ab", "c"], "(x, y) was learned before (y, ab), so it takes the y"),
    ("abcabd", ["ab", "abd", "abc"], ["abc", "abd"], "(a, b) comes first, and what it makes is merged by rank again"),
]


@pytest.mark.parametrize(("text", "merges", "tokens", "rule"), BY_RANK, ids=["-".join(m) for _, m, _, _ in BY_RANK])
def test_the_pair_of_lowest_rank_is_merged_first(solution, text, merges, tokens, rule):
    says = f"{rule}: of all neighbours that make a token those of the lowest rank are merged first."
    assert_encodes(solution, text, merges, tokens, says)


ENDS = [
    ("abcx", ["ab", "abc"], ["abc", "x"]), ("ab", ["ab"], ["ab"]), ("xab", ["ab", "xab"], ["xab"]),
    ("abz", ["xy", "xyz", "ab", "abz"], ["abz"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "merges", "tokens"), ENDS)
def test_merging_goes_on_to_both_ends_of_a_piece(solution, text, merges, tokens):
    says = "Merging goes on until no neighbours in the piece make a token, at its start and at its end as well."
    assert_encodes(solution, text, merges, tokens, says)


def test_a_piece_takes_as_many_merges_as_it_needs(solution):
    text = "abcdefghijklmnopqrstuvwxyz"
    says = "This piece becomes one token after 25 merges: merging goes on until no neighbours make a token."
    assert_ids(solution, text, every_stretch(text, 26), [text], says, ", where every stretch of the text is a token")


def test_a_token_may_be_a_part_of_a_character(solution):
    says = "漢漣 is e6 bc a2 e6 bc a3: merges work on bytes, wherever a character begins or ends."
    merges = [b"\xe6\xbc", b"\xa2\xe6\xbc"]
    assert_encodes(solution, "漢漣", merges, [b"\xe6\xbc", b"\xa2\xe6\xbc", b"\xa3"], says)


# --- the cut: / stands between two pieces --------------------------------------------------------

CUTS = {
    "words": ("one/ two", "A space belongs to the word after it: ' ?' stands before the letters."),
    "letters and numbers": ("x/1/y/22/ 33", "Letters and numbers are pieces of their own, with a space before or not."),
    "underscores": ("snake/_/case", "An underscore is neither letter nor number, so it is a sign: [^\\s\\p{L}\\p{N}]."),
    "signs": ("wow/!!!/ (/yes/)", "Signs that stand together are one piece, with a space before them or not."),
    "contractions": ("I/'m/ you/'ll/ he/'s/ we/'ve", "'m, 'll, 's and 've are pieces of their own, and come first."),
    "more contractions": ("they/'re/ can/'t/ I/'d", "'re, 't and 'd are pieces of their own, and come first."),
    "contractions before a word": ("'t/is", "'t is a contraction wherever it stands: the pattern knows no words."),
    "capital contractions": ("IT/'/S", "Contractions are in lower case only, so this apostrophe is a sign."),
    "other apostrophes": ("rock/'/n/'/roll/ it/’/s", "'n is no contraction, and neither is ’s with the curly sign."),
    "a space before an apostrophe": ("a/ '/s", "No space goes with a contraction, so here it is a sign."),
    "two spaces": ("a/ / b", "Of a run of white space the last character is left for the word: \\s+(?!\\S)."),
    "many spaces": ("a/   / b", "Of a run of white space the last character is left for the word: \\s+(?!\\S)."),
    "spaces at both ends": (" / a/  ", "White space at the ends is text, and the last run is whole."),
    "line ends": ("a/\n/\n/b/\n", "A line end does not go with the word after it; only a space does."),
    "tabs": ("a/ \t/\t/b", "A run of white space may mix its kinds; no tab goes with the word after it."),
    "no-break spaces": ("a/\u00a0/\u00a0/b/\u3000/?", "U+00A0 and U+3000 are white space, but not the plain space."),
    "signs that nobody sees": ("hi/\u200b!", "U+200B, the zero-width space, is no white space, so it is a sign."),
    "letters of all scripts": ("naïve/ Привет/ 你一好", "\\p{L} is every letter of every script, not only a to z."),
    "numbers of all kinds": ("x/²3½7/ 9Ⅷ/ ४२", "\\p{N} is every number of every script, ², ½ and Ⅷ as well."),
    "combining marks": ("e/\u0301/a", "A combining accent is no letter, so it stands with the signs."),
    "emoji": ("hi/🙂🙂/ 🙃", "Emoji are signs: neither letters, nor numbers, nor white space."),
    "capitals": ("Hello/ HELLO", "A and a are different bytes: the text is taken as it is."),
}


@pytest.mark.parametrize("case", CUTS)
def test_text_is_cut_with_gpt2s_pattern(solution, case):
    assert_cut(solution, *CUTS[case])


# --- special tokens ------------------------------------------------------------------------------

AROUND = {
    "alone": "<|end|>",
    "between": "ab/<|end|>/cd",
    "at the start": "<|end|>/ab",
    "at the end": "ab/<|end|>",
    "twice": "<|end|>/<|end|>/ab/<|end|>",
    "after a space": "ab/ /<|end|>/ cd",
    "between spaces": "ab/  /<|end|>/ / cd",
    "after a sign": "ab/!/<|end|>/!/cd",
    "in a contraction": "ab/'/<|end|>/s",
}


@pytest.mark.parametrize("case", AROUND)
def test_a_special_token_is_one_id_wherever_it_stands(solution, case):
    says = "The text is split at the special tokens first, and what lies between two of them is a text by itself."
    assert_cut(solution, AROUND[case], says, END)


def test_special_tokens_have_the_ids_that_were_given(solution):
    special = {"<|end|>": 700, "<|start|>": 300}
    says = "special_tokens maps each text to its id, 300 and 700 here, however many merges there are."
    call = "encode('<|start|>ab<|end|>'), where <|end|> is 700 and <|start|> 300,"
    ids = [*solution.BPETokenizer(ranks_of("ab"), special).encode("<|start|>ab<|end|>")]
    if not {300, 700} & {*ids}:
        says = "Neither was found, so both became plain text. In a pattern the names stand beside each other with | "
        says += "between them: escape each by itself, and then join them."
    assert_gives(call, lambda: ids, [300, 256, 700], because=says)


def test_a_special_token_may_have_the_id_0(solution):
    ranks = {bytes([b]): b + 1 for b in range(256)}
    ids = [*solution.BPETokenizer(ranks, {"<|end|>": 0}).encode("ab<|end|>")]
    says = "0 is an id like any other. In a condition it counts as False: ask with `in`, or compare with None."
    call = "encode('ab<|end|>'), where <|end|> is 0 and every byte is one more than itself,"
    assert_gives(call, lambda: ids, [98, 99, 0], because=says)


def test_two_tokenizers_have_their_own_special_tokens(solution):
    given = [{"<|end|>": 300}, {"<|start|>": 300}, None]
    made = [solution.BPETokenizer(dict(BYTES), special) for special in given]
    says = "Of three tokenizers only the first was given <|end|>, so it is plain text to the others."
    for which, tokenizer, ids in zip(("first", "second", "third"), made, ([300], *2 * [[*b"<|end|>"]]), strict=True):
        call = f"encode('<|end|>') of the {which} of three tokenizers"
        assert_gives(call, lambda t=tokenizer: t.encode("<|end|>"), ids, because=says)


def test_a_special_token_is_a_text_and_no_pattern(solution):
    special = {"[PAD]": 300, "a.c": 301, "(x|y)": 302, "\\d$": 303}
    tokens = ["P", "[PAD]", *"abc", "a.c", "(x|y)", "x", "5", "\\d$"]
    about = " with the special tokens [PAD], a.c, (x|y) and \\d$"
    says = "A special token stands for its own characters, also for those that are operators in a pattern."
    assert_ids(solution, "".join(tokens), BYTES, tokens, says, about, special)


@pytest.mark.parametrize("text", ["<|END|>", "<|end|", "<|end |>", "<|ends|>", "< |end|>"])
def test_what_is_only_like_a_special_token_is_text(solution, text):
    says = "A special token is found letter for letter; this is another text."
    assert_ids(solution, text, BYTES, [*text], says, ", where <|end|> is special", END)


NOT_GIVEN = {"none": None, "an empty dict": {}, "another": {"<|start|>": 300}}


@pytest.mark.parametrize("case", NOT_GIVEN)
def test_a_special_token_that_was_not_given_is_plain_text(solution, case):
    text, special = "ab<|end|>cd", NOT_GIVEN[case]
    says = "Only the special tokens of the constructor are special, and here <|end|> is none of them."
    assert_cut(solution, "ab/<|/end/|>/cd", says, special)
    assert_ids(solution, text, BYTES, [*text], says, f" with special_tokens={special}", special)


# --- all of it together --------------------------------------------------------------------------


@cache
def definition(reference, source, text):
    """Merges of one text, and another one's ids with them."""
    ranks = reference.train_bpe(source, 290)
    return ranks, reference.BPETokenizer(ranks).encode(text)


@pytest.mark.parametrize("letters", ["ab", "abc ", "é漢🙂", "aab1 '.s\n"], ids=repr)
def test_longer_texts_are_encoded_as_the_definition_says(solution, reference, letters):
    text = draw_text("encoded", letters, 150)
    ranks, ids = definition(reference, draw_text("learned from", letters, 200), text)
    says = "In each piece the pair of lowest rank is merged, from left to right, until no neighbours make a token."
    assert_gives(
        f"encode of a random text of {letters!r}, with the merges of another,",
        lambda: solution.BPETokenizer(dict(ranks)).encode(text), ids,
        because=says, tokens={rank: token for token, rank in ranks.items()},
    )  # fmt: skip
