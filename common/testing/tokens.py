"""What checks of tokenizers are written with: calls that give lists or texts, and texts drawn at random."""

from __future__ import annotations

import traceback
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from common.testing.asserts import CheckFailed, fail
from common.testing.context import current, observe

BYTES = {bytes([byte]): byte for byte in range(256)}
# In GPT-2's table, too, the rank of a byte is not its value.
SHIFTED = {bytes([byte]): (byte + 100) % 256 for byte in range(256)}

_SHORT = 8  # entries of a list that is shown whole
_REFUSALS = (LookupError, ValueError, StopIteration)


def assert_gives(
    call: str,
    run: Callable[[], Any],
    expected: list[Any] | str,
    *,
    because: str,
    tokens: Mapping[int, bytes] | None = None,
) -> None:
    """Check what a call gives: a list, entry by entry, or a text.

    An error that data can lead to, such as a KeyError, fails with the same sentence.

    Args:
        call: what gives it, for the message: "encode('ab')", "the list of merges of 'ab'".
        tokens: what ids stand for, to be shown beside them.
    """
    try:
        actual = run()
    except _REFUSALS as error:
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        observe(call, said)
        wanted = _shown(expected, 0, tokens)
        raise CheckFailed(
            f"{call} raises an error:", expected=wanted, got=said + _line(error), because=because
        ) from error
    if not isinstance(actual, type(expected)):
        _wrong_type(call, actual, "a list" if isinstance(expected, list) else "a text")
    observe(call, actual)
    if isinstance(expected, list):
        _assert_entries(call, actual, expected)
    if actual != expected:
        at = _first_difference(actual, expected)
        long = isinstance(expected, list) and max(len(actual), len(expected)) > _SHORT
        where = f"wrong from entry {at} on" if long else "not what it should be"
        wanted, got = _shown(expected, at, tokens), _shown(actual, at, tokens)
        fail(f"{call} is {where}:", expected=wanted, got=got, because=because)


def ranks_of(*merges: str | bytes) -> dict[bytes, int]:
    """The 256 single bytes, and then these tokens in the order of learning."""
    tokens = (token.encode() if isinstance(token, str) else token for token in merges)
    return BYTES | {token: 256 + i for i, token in enumerate(tokens)}


def spelled(merges: Iterable[tuple[int, int]]) -> dict[int, bytes]:
    """The bytes that each id stands for, where merge i joins two ids to 256 + i."""
    table = {byte: token for token, byte in BYTES.items()}
    for left, right in merges:
        table[len(table)] = table[left] + table[right]
    return table


def draw_text(name: str, letters: str, length: int) -> str:
    """A random text of these letters, which follows from the name and the length."""
    generator = current().generator(name, (length,))
    places = torch.randint(len(letters), (length,), generator=generator)
    return "".join(letters[i] for i in places.tolist())


def _wrong_type(call: str, actual: Any, wanted: str) -> None:
    observe(call, type(actual).__name__)
    says = f"The README's Build section promises {wanted}."
    fail(
        f"{call} should be {wanted}:",
        expected=wanted,
        got="None" if actual is None else f"a {type(actual).__name__}",
        because="A function that ends without a return gives None." if actual is None else says,
    )


def _assert_entries(call: str, actual: list[Any], expected: list[Any]) -> None:
    """Note the entries one by one, as a long list says more than a short one, and check that they are of one type."""
    codes = [zlib.crc32(repr(entry).encode()) for entry in actual[: len(expected)]]
    codes += [-1] * (len(expected) - len(codes))
    observe(f"{call}, entry by entry", torch.tensor(codes, dtype=torch.int64))
    if not expected:
        return
    kind = type(expected[0])
    odd = next((e for e in actual if not isinstance(e, kind) or isinstance(e, bool)), None)
    if odd is not None or None in actual:
        fail(
            f"{call} holds something that is no {kind.__name__}:",
            expected=f"a list of {kind.__name__}",
            got=f"{odd!r}, a {type(odd).__name__}",
            because="The README's Build section says what its entries are.",
        )


def _first_difference(actual: Sequence[Any], expected: Sequence[Any]) -> int:
    pairs = zip(actual, expected, strict=False)
    shorter = min(len(actual), len(expected))
    return next((i for i, (a, b) in enumerate(pairs) if a != b), shorter)


def _shown(value: list[Any] | str, at: int, tokens: Mapping[int, bytes] | None) -> str:
    """A text, or the entries of a list around a place, with the tokens that they stand for."""
    if isinstance(value, str):
        first = max(at - 20, 0)
        cut = value[first : at + 30]
        shown = (
            ascii(cut) if any(map(unicodedata.combining, cut)) else repr(cut)
        )  # e and an accent look like é
        return ("... " if first else "") + shown + (" ..." if at + 30 < len(value) else "")
    short = len(value) <= _SHORT
    first, last = (0, len(value)) if short else (max(at - 2, 0), at + 4)
    if at >= len(value) > _SHORT:
        return f"{len(value)} entries, none at {at}"
    entries = [repr(entry) for entry in value[first:last]]
    entries = [*(["..."] if first else []), *entries, *(["..."] if last < len(value) else [])]
    text = f"[{', '.join(entries)}]"
    if tokens is None or not value:
        return text
    known = [tokens.get(entry) for entry in value[first:last]]
    names = ["?" if t is None else repr(t.decode("utf-8", "backslashreplace")) for t in known]
    return f"{text}, that is {' '.join(names)}"


def _line(error: BaseException) -> str:
    """The learner's line that raised it, where it can be had."""
    frames = traceback.extract_tb(error.__traceback__)
    harness = str(Path(__file__).parents[1])
    tests = [
        i for i, f in enumerate(frames)
        if f.filename.startswith(harness) or Path(f.filename).name.startswith("test_")
    ]  # fmt: skip
    own = frames[tests[-1] + 1 :] if tests else []
    last = [f for f in own if f.filename == own[0].filename][-1:]
    if not last or not last[0].line:
        return ""
    code = "" if last[0].line.startswith("raise ") else f": {last[0].line}"
    return f" (line {last[0].lineno}{code})"
