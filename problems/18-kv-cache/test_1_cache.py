"""Problem 18, first part: what KVCache promises.

Shapes: B batch, T new tokens, S tokens so far, H heads, D channels of a head.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_shape,
    assert_tensor,
    draw,
    fail,
    observe,
)

B, H, D = 4, 3, 5


def pieces(*lengths):
    """Keys and values of this many tokens each: ([keys (B, H, T, D)], [values (B, H, T, D)])."""
    return ([draw(f"{name}{i}", B=B, H=H, T=T, D=D) for i, T in enumerate(lengths)] for name in ("key", "value"))


def appended(cache, key, value):
    """cache.append(key, value), which has to give a pair of tensors."""
    result = cache.append(key, value)
    pair = isinstance(result, tuple | list) and len(result) == 2
    observe("append returns a pair", pair)
    if not pair:
        fail(
            "KVCache.append does not return a pair:", expected="(keys, values)", got=type(result).__name__,
            because="Attention goes on with the keys and values of all tokens so far, and append gives it both.",
        )
    names = ("the keys that append returns", "the values that append returns")
    return tuple(assert_tensor(part, name) for part, name in zip(result, names, strict=True))


def test_a_new_cache_is_empty(solution):
    assert_equal(len(solution.KVCache()), 0, "len(KVCache())", because="A cache that has seen nothing holds no tokens.")


@pytest.mark.parametrize("lengths", [(6, 1), (1, 2)], ids=str)
def test_append_returns_as_many_keys_and_values_as_there_are_tokens(solution, lengths):
    cache, held = solution.KVCache(), 0
    for key, value in zip(*pieces(*lengths), strict=True):
        result, held = appended(cache, key, value), held + key.size(2)
        for name, got in zip(("keys", "values"), result, strict=True):
            assert_shape(
                got, (B, H, held, D), f"the {name} that append returns with {held} tokens in the cache",
                because="Keys and values of all tokens so far come back, (B, H, S, D), and the tokens are axis 2.",
            )


def test_the_first_tokens_come_back_as_they_are(solution):
    (key,), (value,) = pieces(6)
    keys, values = appended(solution.KVCache(), key, value)
    because = "With nothing before them, the tokens so far are the new ones: the keys first, then the values."
    assert_close(keys, key, "the keys after the first append", because=because)
    assert_close(values, value, "the values after the first append", because=because)


@pytest.mark.parametrize("lengths", [(6, 1), (1, 1, 1), (6, 2, 1)], ids=str)
def test_new_tokens_come_after_the_old_ones(solution, lengths):
    (new_keys, new_values), right, cache = pieces(*lengths), [*pieces(*lengths)], solution.KVCache()
    for i, pair in enumerate(zip(new_keys, new_values, strict=True), 1):
        result = appended(cache, *pair)
        for name, got, parts in zip(("keys", "values"), result, right, strict=True):
            assert_close(
                got, torch.cat(parts[:i], dim=2), f"the {name} after {i} of the appends of {lengths} tokens",
                because="All tokens so far come back in the order of the text, the oldest first, as what is kept of "
                "the appends before, joined with the new ones along axis 2.",
            )


def test_its_length_is_the_number_of_tokens(solution):
    cache, lengths = solution.KVCache(), []
    for key, value in zip(*pieces(6, 1, 2), strict=True):
        cache.append(key, value)
        lengths.append(len(cache))
    assert_equal(
        lengths, [6, 7, 9], "len(cache) after appends of 6, 1 and 2 tokens",
        because="It is the number of tokens held, S, however many appends brought them, and however many texts, "
        "heads and channels there are.",
    )


def test_two_caches_share_nothing(solution):
    new_keys, new_values = pieces(6, 2)
    one, other = solution.KVCache(), solution.KVCache()
    one.append(new_keys[0], new_values[0])
    because = "Each cache holds tensors of its own: what an append keeps belongs to self, and not to the class."
    assert_equal(len(other), 0, "the length of a cache, after an append to another one,", because=because)
    keys, _ = appended(other, new_keys[1], new_values[1])
    assert_close(keys, new_keys[1], "the keys in a cache, after an append to another one,", because=because)


def test_a_cache_leaves_what_it_was_given_and_what_it_gave(solution):
    cache, (new_keys, new_values) = solution.KVCache(), pieces(6, 2, 1)
    before, first = [key.clone() for key in new_keys], None
    for key, value in zip(new_keys, new_values, strict=True):
        keys, _ = appended(cache, key, value)
        first = keys if first is None else first
    for key, old in zip(new_keys, before, strict=True):
        assert_identical(
            key, old, "a key that was appended",
            because="What append is given belongs to its caller; torch.cat makes a new tensor.",
        )
    assert_identical(
        first, before[0], "what the first append returned, after two more,",
        because="What append has handed out is in use elsewhere; torch.cat makes a new tensor.",
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_a_cache_keeps_the_type(solution, dtype):
    cache = solution.KVCache()
    for key, value in zip(*pieces(6, 1), strict=True):
        types = [str(part.dtype) for part in appended(cache, key.to(dtype), value.to(dtype))]
        assert_equal(
            types, [str(dtype)] * 2, f"the dtype of the keys and of the values in {dtype}",
            because="They come back in the type that they came in, with no cast and no memory of a fixed type. "
            "torch.cat gives the wider type of its parts, and an empty part counts: torch.empty(0) is float32.",
        )
