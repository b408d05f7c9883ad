"""Problem 13, part 3: what BPETokenizer.decode promises, then both ways together, at last as GPT-2's tokenizer."""

from functools import cache

import pytest

from common.testing import assert_equal, assert_raises
from common.testing.tokens import BYTES, SHIFTED, assert_gives, draw_text, ranks_of


def assert_decodes(solution, ranks, ids, text, because, special=None, about=""):
    tokenizer = solution.BPETokenizer(dict(ranks), special)
    assert_gives(f"decode({ids}){about}", lambda: tokenizer.decode(list(ids)), text, because=because)


# --- decode --------------------------------------------------------------------------------------


def test_no_ids_are_the_empty_text(solution):
    assert_decodes(solution, ranks_of("ab"), [], "", "No ids, no text: the empty string.")


def test_the_ids_are_left_as_they_were(solution):
    tokenizer, ids = solution.BPETokenizer(dict(BYTES)), [104, 105, 104]
    tokenizer.decode(ids)
    says = "The list is the caller's, who may want to decode it again."
    assert_equal(ids, [104, 105, 104], "the list of ids, after decode,", because=says)


def test_ids_are_turned_into_bytes_by_the_table(solution):
    says = "104 is the rank of b'h' and 105 that of b'i' in this table."
    assert_decodes(solution, BYTES, [104, 105], "hi", says)
    says = "The byte b has the rank (b + 100) % 256 in this table, so 204 is h and 205 is i: bytes come from the table."
    assert_decodes(solution, SHIFTED, [204, 205], "hi", says, about=" where the bytes have other ranks")


def test_the_order_of_the_dict_does_not_matter_to_decode(solution):
    ranks = dict(reversed(ranks_of("ab", "bc", "abc").items()))
    says = "A rank is the value in the dict, wherever the entry stands; this dict lists the last merge first."
    assert_decodes(solution, ranks, [258, 257], "abcbc", says, about=" with the dict in reverse order")


def test_merges_are_decoded_to_all_their_bytes(solution):
    says = "258 is abcabc, 256 ab and 257 abc: tokens are joined with nothing between them, and nothing is left out."
    assert_decodes(solution, ranks_of("ab", "abc", "abcabc"), [258, 120, 256, 32, 257], "abcabcxab abc", says)


def test_two_tokenizers_have_their_own_tokens(solution):
    first = solution.BPETokenizer(dict(BYTES))
    before = first.decode([113])
    second = solution.BPETokenizer(dict(SHIFTED))
    says = "Each of two tokenizers has its own table: what one was given or has decoded does not reach the other."
    after = "decode([113]) of a tokenizer, after another one was made,"
    assert_gives(after, lambda: first.decode([113]), before, because=says)
    other = "decode([213]) of a tokenizer whose table has b'q' for it, after one with 113,"
    assert_gives(other, lambda: second.decode([213]), "q", because=says)


def test_white_space_is_decoded_like_anything_else(solution):
    says = "32 is a space and 10 a line end, also at both ends of a text."
    assert_decodes(solution, BYTES, [32, 97, 10, 10], " a\n\n", says)


def test_special_tokens_are_decoded_to_their_text(solution):
    special = {"<|end|>": 700, "<|é|>": 300}
    says = "Special tokens are in the vocabulary too: 700 stands for the text <|end|> and 300 for <|é|>."
    assert_decodes(solution, ranks_of("ab"), [256, 700, 300, 98], "ab<|end|><|é|>b", says, special)


SPREAD = {
    "four bytes": [b"\xf0", b"\x9f", b"\x99", b"\x82"],
    "2 + 1 + 1": [b"\xf0\x9f", b"\x99", b"\x82"],
    "1 + 1 + 2": [b"\xf0", b"\x9f", b"\x99\x82"],
    "1 + 2 + 1": [b"\xf0", b"\x9f\x99", b"\x82"],
}


@pytest.mark.parametrize("case", SPREAD)
def test_a_character_may_be_spread_over_several_ids(solution, case):
    ranks = ranks_of(*(token for token in SPREAD[case] if len(token) > 1))
    says = "The four bytes of 🙂 lie in several ids here, none of which is a text by itself; all together are."
    assert_decodes(solution, ranks, [ranks[token] for token in SPREAD[case]], "🙂", says)


NO_TEXT = {
    "a byte of no character": ([97, 255, 98], "a\ufffdb"),
    "the first half of one": ([195], "\ufffd"),
    "the second half of one": ([169, 97], "\ufffda"),
}


@pytest.mark.parametrize("case", NO_TEXT)
def test_bytes_that_are_no_text_become_the_replacement_character(solution, case):
    says = "A model may give any ids, so bytes that are no valid UTF-8 become U+FFFD, �, as with errors='replace'."
    assert_decodes(solution, BYTES, *NO_TEXT[case], says)


@pytest.mark.parametrize("special", [None, {"<|end|>": 400}], ids=["without special tokens", "with one"])
def test_an_id_that_is_not_in_the_vocabulary_is_refused(solution, special):
    tokenizer = solution.BPETokenizer(ranks_of("ab"), special)
    says = "There is no token 9999, and a text that quietly lacks a token is worse than an error."
    with assert_raises((ValueError, LookupError), "decode([97, 9999]) with 257 tokens", because=says):
        tokenizer.decode([97, 9999])
    says = "-1 is no token either, though a list would count it from its end."
    with assert_raises((ValueError, LookupError), "decode([97, -1])", because=says):
        tokenizer.decode([97, -1])


def test_each_list_is_decoded_afresh(solution):
    tokenizer = solution.BPETokenizer(ranks_of("ab"))
    says = "One tokenizer decodes many lists, and nothing of one reaches the next, such as half a character at its end."
    ids = [169, 97]
    first = tokenizer.decode(ids)
    tokenizer.decode([256, 120, 195])
    assert_gives("decode([169, 97]), again after another list,", lambda: tokenizer.decode(ids), first, because=says)


# --- there and back ------------------------------------------------------------------------------

OTHER = "the cat saw 我 and 🙂, the cat and 我 saw 🙂"
TEXTS = [
    "a", " ", "the cat sat on the mat, the cat sat", "aaaaaaaaaaa", "  two  spaces\r\n\ttab\n ", "It's 1984: see_",
    "naïve cafe\u0301 ﬁ", "我喜欢猫, 我喜欢狗", "🙂🙃🙂👩‍👩‍👧", "\ufeffmark",
    "\x00\x7f\x00\u2028\u200b\ufeff",
]  # fmt: skip


@cache
def ranks_from(reference, text):
    return reference.train_bpe(text, 290)


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_decode_gives_back_what_was_encoded(solution, reference, text):
    says = "No character is lost, added or changed on the way, whatever text the merges were learned on."
    for source, name in [(text, "the same text"), (OTHER, "another text")]:
        made = solution.BPETokenizer(dict(ranks_from(reference, source)))
        call = f"decode(encode({text!r})), with merges learned on {name},"
        assert_gives(call, lambda made=made: made.decode(made.encode(text)), text, because=says)


# --- GPT-2 ---------------------------------------------------------------------------------------

GPT2_TEXTS = [
    "Hello, world!", "It's a test; we'll see: they'd've", "  indented\n\n\tcode = f(x_1, 42)  # ok\n",
    "Tokenization of antidisestablishmentarianism", "1234567890 3.14159 1/2 ½ x²", "ALL CAPS CAN'T WON'T",
    "naïve café cafe\u0301 Übergröße", "我喜欢猫。日本語のテキスト 한국어", "Привет, мир. مرحبا بالعالم שלום",
    "🙂👩‍👩‍👧🏳️‍🌈 ok", "\u00a0\u3000\u2003wide\r\n\r\nspaces   ", "aaaaaaaaaaaaaaaaaaa ........ ------ ''''s",
    "One day. <|endoftext|>Two  <|endoftext|>\n", "<|endoftext|><|endoftext |>",
]  # fmt: skip
DRAWN = "aeinorst  LMT'sd12.,\n_é漢🙂"


def assert_same_as_gpt2(solution, special):
    from common import gpt2_tokenizer  # a third of a second, so only where it is needed

    theirs, tokens = gpt2_tokenizer(), gpt2_tokens()
    tokenizer = solution.BPETokenizer({token: rank for rank, token in tokens.items() if rank < 50256}, special)
    about = "with GPT-2's vocabulary" + ("" if special else " and no special tokens")
    says = "The ids are those of tiktoken: special tokens first, then the pattern, then merges by rank."
    drawn = draw_text("gpt2", DRAWN, 120)
    for name, text in {**{repr(text): text for text in GPT2_TEXTS}, "a random text": drawn}.items():
        ids = theirs.encode(text, allowed_special="all" if special else set(), disallowed_special=())
        call = f"encode of {name} {about}"
        assert_gives(call, lambda t=text: tokenizer.encode(t), ids, because=says, tokens=tokens)
        assert_gives(f"decode of GPT-2's ids of {name}", lambda i=ids: tokenizer.decode(i), text, because=says)


@cache
def gpt2_tokens():
    from common import gpt2_tokenizer

    return {rank: token for token, rank in gpt2_tokenizer()._mergeable_ranks.items()} | {50256: b"<|endoftext|>"}


def test_the_ids_are_gpt2s(solution):
    assert_same_as_gpt2(solution, {"<|endoftext|>": 50256})


def test_without_special_tokens_endoftext_is_text_to_gpt2s_vocabulary(solution):
    assert_same_as_gpt2(solution, None)
