"""Interview 07, first part: what KVCache promises.

Shapes: B batch, T new tokens, S tokens so far, H heads, D channels of a head.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_shape,
    draw,
)
from common.testing.attending import pair_of

B, H, D, N = 4, 3, 5, 2
NAMES = ("keys", "values")


def pieces(*lengths):
    """Keys and values of this many tokens each: a list of pairs (B, H, T, D)."""
    return [tuple(draw(f"{n}{i}", B=B, H=H, T=T, D=D) for n in NAMES) for i, T in enumerate(lengths)]


def filled(solution, *lengths, n_layer=N):
    """A cache to whose layers all the same pieces were appended."""
    cache = solution.KVCache(n_layer)
    for key, value in pieces(*lengths):
        for layer in range(n_layer):
            cache.append(layer, key, value)
    return cache


def appended(cache, layer, key, value):
    return pair_of(cache.append(layer, key, value), "append(layer, key, value)")


def test_a_new_cache_is_empty(solution):
    assert_equal(
        len(solution.KVCache(N)), 0, f"len(KVCache({N}))", because="A cache that has seen nothing holds no tokens."
    )


@pytest.mark.parametrize("lengths", [(6, 1), (1, 2)], ids=str)
def test_append_returns_as_many_keys_and_values_as_there_are_tokens(solution, lengths):
    cache, held = solution.KVCache(N), 0
    for key, value in pieces(*lengths):
        result, held = appended(cache, 0, key, value), held + key.size(2)
        for name, got in zip(NAMES, result, strict=True):
            assert_shape(
                got, (B, H, held, D), f"the {name} that append returns with {held} tokens in the layer",
                because="Keys and values of all tokens so far come back, (B, H, S, D), and the tokens are axis 2.",
            )


@pytest.mark.parametrize("lengths", [(6,), (6, 1), (1, 1, 1), (6, 2, 1)], ids=str)
def test_new_tokens_come_after_the_old_ones(solution, lengths):
    cache, given = solution.KVCache(N), pieces(*lengths)
    for i, pair in enumerate(given, 1):
        result = appended(cache, 0, *pair)
        for name, got, parts in zip(NAMES, result, zip(*given, strict=True), strict=True):
            assert_close(
                got, torch.cat(parts[:i], dim=2), f"the {name} after {i} of the appends of {lengths} tokens",
                because="All tokens so far come back in the order of the text, the oldest first: what was appended "
                "before, and the new ones behind it, keys first and values second.",
            )


def test_each_layer_holds_its_own(solution):
    cache, (first, second, third) = solution.KVCache(3), pieces(2, 2, 1)
    appended(cache, 0, *first)
    appended(cache, 2, *second)
    for layer, old in ((0, first), (2, second)):
        for name, got, one, other in zip(NAMES, appended(cache, layer, *third), old, third, strict=True):
            assert_close(
                got, torch.cat([one, other], dim=2), f"the {name} of layer {layer}, after appends to layers 0 and 2,",
                because="append(layer, ...) adds to that layer and to no other, and returns what that layer holds.",
            )


def test_its_length_is_the_number_of_tokens(solution):
    cache, lengths = solution.KVCache(1), []
    for pair in pieces(6, 1, 2):
        cache.append(0, *pair)
        lengths.append(len(cache))
    assert_equal(
        lengths, [6, 7, 9], "len(cache) of one layer after appends of 6, 1 and 2 tokens",
        because="It is the number of tokens held, S, however many appends brought them, and however many texts, "
        "heads and channels there are.",
    )


def test_its_length_waits_for_the_last_layer(solution):
    cache, lengths = solution.KVCache(3), []
    for pair in pieces(6, 1):
        for layer in range(3):
            cache.append(layer, *pair)
            lengths.append(len(cache))
    assert_equal(
        lengths, [0, 0, 6, 6, 6, 7], "len(cache) of three layers, after each append of 6 and then of 1 tokens,",
        because="It is what every layer holds: in the middle of a pass the smallest of the layers' numbers.",
    )


def test_two_caches_share_nothing(solution):
    (first, second), one, other = pieces(6, 2), solution.KVCache(N), solution.KVCache(N)
    one.append(0, *first)
    keys, _ = appended(other, 0, *second)
    assert_close(
        keys, second[0], "the keys in a cache, after an append to another one,",
        because="Each cache holds tensors of its own: what an append keeps belongs to self, and not to the class.",
    )


def test_a_cache_leaves_what_it_was_given(solution):
    cache, given = solution.KVCache(1), pieces(6, 2, 1)
    before = [tuple(part.clone() for part in pair) for pair in given]
    for pair in given:
        cache.append(0, *pair)
    cache.crop(3)
    cache.append(0, *given[1])
    for pair, old in zip(given, before, strict=True):
        for name, part, right in zip(NAMES, pair, old, strict=True):
            assert_identical(
                part, right, f"one of the {name} that were appended",
                because="What append is given belongs to its caller; the cache writes into memory of its own.",
            )


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_a_cache_keeps_the_type(solution, dtype):
    cache = solution.KVCache(1)
    for key, value in pieces(6, 1):
        types = [str(part.dtype) for part in appended(cache, 0, key.to(dtype), value.to(dtype))]
        assert_equal(
            types, [str(dtype)] * 2, f"the dtype of the keys and of the values in {dtype}",
            because="They come back in the type that they came in: no cast and no memory of a fixed type. "
            "torch.cat gives the wider type of its parts, and an empty part counts.",
        )


# --- crop ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 5, 6])
def test_crop_leaves_that_many_tokens(solution, length):
    cache = filled(solution, 4, 2)
    cache.crop(length)
    assert_equal(
        len(cache), length, f"len(cache) of 6 tokens after crop({length})",
        because="The oldest `length` tokens stay, in every layer.",
    )


@pytest.mark.parametrize("length", [0, 3, 5])
def test_the_oldest_tokens_stay_and_new_ones_follow(solution, length):
    cache, given, (new,) = filled(solution, 4, 2), pieces(4, 2), [pieces(4, 2, 2)[2]]
    cache.crop(length)
    for layer in range(N):
        result = appended(cache, layer, *new)
        for name, got, parts, last in zip(NAMES, result, zip(*given, strict=True), new, strict=True):
            right = torch.cat([torch.cat(parts, dim=2)[:, :, :length], last], dim=2)
            assert_close(
                got, right, f"the {name} of layer {layer} of 6 tokens, after crop({length}) and an append of 2,",
                because="The newest tokens are forgotten in every layer, keys and values alike; the oldest stay, and "
                "what is appended next follows them.",
            )


def test_crop_makes_the_layers_even(solution):
    cache, second = filled(solution, 6), pieces(6, 1)[1]
    cache.append(0, *second)  # a pass that ended after the first layer
    cache.crop(6)
    lengths = [appended(cache, layer, *second)[0].size(2) for layer in range(N)]
    assert_equal(
        lengths, [7] * N, "the numbers of tokens in the layers after crop(6) and an append of 1 to each, where layer "
        "0 had held 7 and the other one 6,",
        because="After crop(length) every layer holds `length` tokens, however many it held before.",
    )


def test_a_cache_that_holds_nothing_yet_may_be_cropped(solution):
    cache, (first, second) = solution.KVCache(N), pieces(6, 1)
    cache.crop(0)
    cache.append(0, *first)  # a pass that ended after the first layer
    cache.crop(0)
    lengths = [appended(cache, layer, *second)[0].size(2) for layer in range(N)]
    assert_equal(
        lengths, [1] * N, "the numbers of tokens in the layers after crop(0) and an append of 1 to each, where only "
        "layer 0 had held any,",
        because="len(cache) is 0 while a layer holds nothing, and crop(0) then empties the others.",
    )


@pytest.mark.parametrize("length", [-1, 7, 8])
def test_a_wrong_length_is_refused(solution, length):
    cache = filled(solution, 4, 2)
    with assert_raises(
        ValueError, f"crop({length}) of a cache of 6 tokens", naming=[length],
        because="A cache can forget and cannot make up: length runs from 0 to len(cache).",
    ):
        cache.crop(length)
    assert_equal(
        len(cache), 6, f"len(cache) after crop({length}) was refused", because="What is refused changes nothing."
    )


def test_the_length_that_counts_is_that_of_every_layer(solution):
    cache = filled(solution, 4, 2)
    cache.append(0, *pieces(4, 2, 1)[2])
    with assert_raises(
        ValueError, "crop(7) where one layer holds 7 tokens and the other one 6", naming=[7],
        because="length may be at most len(cache), and that is what every layer holds.",
    ):
        cache.crop(7)


def test_a_refused_crop_forgets_nothing_in_any_layer(solution):
    cache, second = filled(solution, 6), pieces(6, 1)[1]
    for _ in range(2):
        cache.append(0, *second)
    with assert_raises(
        ValueError, "crop(7) where one layer holds 8 tokens and the other one 6", naming=[7],
        because="length may be at most len(cache), and that is what every layer holds.",
    ):
        cache.crop(7)
    lengths = [appended(cache, layer, *second)[0].size(2) for layer in range(N)]
    assert_equal(
        lengths, [9, 7], "the numbers of tokens in layers of 8 and 6, after crop(7) was refused and an append of 1,",
        because="What is refused changes nothing: the length is compared with len(cache) before a layer is cut.",
    )
