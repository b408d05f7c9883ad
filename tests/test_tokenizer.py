"""The reference tokenizer of problem 13 against tiktoken, on far more text than its checks use."""

from __future__ import annotations

import os
import random
import tempfile
import unicodedata
from functools import cache
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from common.course import catalogue
from common.judging import loading
from common.text.tokenizer import gpt2_tokenizer

END = "<|endoftext|>"

# Text that hurts: what GPT-2's pattern decides by a single character, side by side.
FRAGMENTS = [
    *("'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'LL", "’s", "'", "''", "can't", "n't've"),
    *(" ", "  ", "     ", "\t", "\n", "\n\n", "\r\n", " \n", "\t ", "\u00a0", "\u3000", "\u2003", "\u2028"),
    *("\x1c", "\x1f", "\x85", "\u200b", "\u180e", "\ufeff", "\x00", "\x0b"),
    *("🙂", "👩\u200d👩\u200d👧", "🏳️\u200d🌈", "你好", "世界", "日本語", "한국어", "ไทย", "हिन्दी", "עברית", "العربية"),
    *("e\u0301", "\u0301", "\u20e3", "ﬁ", "ß", "İ", "ǅ", "ʰ", "ª"),
    *("1", "22", "1984", "²", "½", "Ⅷ", "४२", "一", "٣", "①"),
    *(END, "<|endoftext", "|>", "<|", "<|ENDOFTEXT|>", "< |endoftext|>", "<|endoftext|", "endoftext"),
    *("_", "__init__", "...", "!?", "--", "()", "$", "\\d", "http://a.b/c?d=1&e", "\ud7ff", "\ue000"),
    *("the", " the", "Hello", " world", "antidisestablishmentarianism", "aaaa", "ab" * 20),
]  # fmt: skip
known = st.characters(exclude_categories=["Cs", "Cn"])  # no surrogates, nothing newer than Python
texts = st.lists(st.sampled_from(FRAGMENTS) | st.text(known, max_size=8), max_size=12).map("".join)


@cache
def reference() -> ModuleType:
    return loading.load(catalogue.find(13).reference)


@cache
def tokenizers() -> tuple[Any, Any]:
    """The reference over GPT-2's ranks, without and with the special token."""
    ranks = gpt2_tokenizer()._mergeable_ranks
    make = reference().BPETokenizer
    return make(ranks), make(ranks, {END: 50256})


def test_no_copies_are_put_where_another_account_may_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    assert gpt2_tokenizer.__wrapped__().n_vocab == 50257
    assert not [*tmp_path.iterdir()]
    assert "TIKTOKEN_CACHE_DIR" not in os.environ


@settings(max_examples=2500, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(texts)
@example("")
@example(f"a  {END}  {END}")
def test_the_ids_are_tiktokens_and_lead_back_to_the_text(text: str):
    theirs = gpt2_tokenizer()
    plain, special = tokenizers()
    ids = plain.encode(text)
    assert ids == theirs.encode(text, disallowed_special=())
    assert plain.decode(ids) == text
    ids = special.encode(text)
    assert ids == theirs.encode(text, allowed_special="all")
    assert special.decode(ids) == text


@settings(max_examples=500, deadline=None, database=None)
@given(st.lists(st.integers(0, 50256), max_size=20))
def test_any_ids_decode_as_tiktoken_decodes_them(ids: list[int]):
    _, special = tokenizers()
    assert special.decode(ids) == gpt2_tokenizer().decode(ids)


def test_every_character_that_python_knows_is_cut_as_tiktoken_cuts_it():
    theirs, (plain, _) = gpt2_tokenizer(), tokenizers()
    codes = [*range(0x3400), *range(0x3400, 0x1F000, 16), *range(0x1F000, 0x20000)]
    codes += [*range(0xA000, 0xAC00), *range(0xFB00, 0x12000), *range(0x20000, 0x110000, 64)]
    everything = [c for c in map(chr, codes) if unicodedata.category(c) not in ("Cs", "Cn", "Co")]
    for start in range(0, len(everything), 5000):
        part = everything[start : start + 5000]
        for text in ("a".join(part), " ".join(part), "1".join(part)):
            assert plain.encode(text) == theirs.encode(text, disallowed_special=())


def test_a_megabyte_of_text_is_encoded_as_tiktoken_does_it():
    draw = random.Random(13)
    words = [
        "".join(draw.choices("etaoinshrdlucmfwyp", k=draw.randint(1, 11))) for _ in range(5000)
    ]
    text = "".join(
        draw.choice(words) + draw.choice([" ", " ", " ", ", ", ".\n", "  ", "'s ", " 42 "])
        for _ in range(130_000)
    )
    assert len(text) > 900_000
    plain, _ = tokenizers()
    ids = plain.encode(text)
    assert ids == gpt2_tokenizer().encode(text, disallowed_special=())
    assert plain.decode(ids) == text


@pytest.mark.parametrize("text", ["a" * 5000, "ab" * 2000, " " * 3000, "!?" * 1500, "漢" * 1000])
def test_a_single_long_piece_is_encoded_as_tiktoken_does_it(text: str):
    assert tokenizers()[0].encode(text) == gpt2_tokenizer().encode(text)


@settings(max_examples=150, deadline=None, database=None)
@given(st.text("ab ", max_size=60) | texts, st.integers(256, 300))
def test_training_matches_a_slow_reading_of_the_rules(text: str, vocab_size: int):
    """Every merge from scratch: all pieces of the text, one by one, and the first of the best."""
    module = reference()
    pieces = [[bytes([b]) for b in piece.encode()] for piece in module.PATTERN.findall(text)]
    expected = {bytes([b]): b for b in range(256)}
    while len(expected) < vocab_size:
        pairs = [(p[i], p[i + 1]) for p in pieces for i in range(len(p) - 1)]
        if not pairs:
            break
        left, right = max(pairs, key=pairs.count)
        expected[left + right] = len(expected)
        for piece in pieces:
            for i in range(len(piece)):
                if piece[i : i + 2] == [left, right]:
                    piece[i : i + 2] = [left + right]
    assert module.train_bpe(text, vocab_size) == expected
    assert len(expected) <= vocab_size


@settings(max_examples=100, deadline=None, database=None)
@given(texts, st.text(known))
def test_a_tokenizer_trained_on_one_text_gives_back_any_other(text: str, other: str):
    tokenizer = reference().BPETokenizer(reference().train_bpe(text, 280), {END: 999})
    for sample in (text, other):
        assert tokenizer.decode(tokenizer.encode(sample)) == sample
