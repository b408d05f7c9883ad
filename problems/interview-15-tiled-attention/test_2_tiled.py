"""Interview 15, second part: what tiled_attention promises, from cause to consequence.

Shapes: B batch, H heads, T queries, S keys, D channels of query and key, E channels of a value.
"""

import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_raises,
    assert_repeatable,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    observe,
)
from common.testing.attending import AsModule, assert_works_elsewhere
from common.testing.attention import about_large_scores
from common.testing.comparisons import assert_layout_is_free
from common.testing.dtypes import assert_half_precision

B, H, T, S, D, E = 2, 3, 8, 11, 5, 4
AXES = {"H": H, "D": D}
BOTH = pytest.mark.parametrize("causal", [False, True])


def inputs(causal=False, lead=(), t=T, d=D):
    """q, k and v; causal attention has as many keys as queries."""
    s = t if causal else S
    return draw("q", *lead, T=t, D=d), draw("k", *lead, s, d), draw("v", *lead, s, E)


def tiled(solution, q, k, v, tile_size, **options):
    return assert_tensor(solution.tiled_attention(q, k, v, tile_size, **options), "tiled_attention(q, k, v, ...)")


def of(solution, tile_size=3, causal=True):
    """tiled_attention as a module of three tensors."""
    attend = solution.tiled_attention
    return AsModule(lambda q, k, v: attend(q, k, v, tile_size, causal=causal))


class Made(TorchFunctionMode):
    """Notes how many entries each result has."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype != torch.uint8:  # those are messages' bytes
            self.sizes.append(result.numel())
        return result


# --- what others stand on ------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("lead", [(), (H,), (B, H)], ids=str)
def test_each_query_gets_a_row_of_values(solution, lead, causal):
    assert_shape(
        tiled(solution, *inputs(causal, lead), 3, causal=causal), (*lead, T, E), "tiled_attention(q, k, v, 3)",
        because="There is a row of E channels for each query, those of the last tile too, and leading axes stay.",
    )


@pytest.mark.parametrize("tile_size", [0, -3])
def test_a_tile_without_tokens_is_refused(solution, tile_size):
    with assert_raises(
        ValueError, f"tiled_attention with tile_size = {tile_size}", naming=[tile_size],
        because="A tile holds at least one token; the message names the value.",
    ):
        solution.tiled_attention(*inputs(), tile_size)


@pytest.mark.parametrize("sizes", [(3, 5), (5, 3)], ids=str)
def test_causal_with_other_lengths_is_refused(solution, sizes):
    t, s = sizes
    with assert_raises(
        ValueError, f"tiled_attention with T = {t} queries, S = {s} keys and causal=True", naming=sizes,
        because="Query i sees keys 0 to i, which needs a key for each query; the message names both sizes.",
    ):
        solution.tiled_attention(draw("q", t, D), draw("k", s, D), draw("v", s, E), 2, causal=True)


def test_tiled_attention_leaves_its_inputs_alone(solution):
    assert_input_untouched(of(solution), *inputs(True), what="tiled_attention")


def test_tiled_attention_gives_the_same_twice(solution):
    assert_repeatable(of(solution), *inputs(True), what="what tiled_attention gives")


def test_tiled_attention_answers_in_the_type_of_its_inputs(solution):
    assert_keeps_dtype(of(solution), *inputs(True), what="what tiled_attention gives")
    assert_keeps_dtype(of(solution), *inputs(True), what="what tiled_attention gives", dtype=torch.bfloat16)


def test_tiled_attention_works_in_half_precision(solution):
    assert_half_precision(of(solution), *inputs(True))


def test_tiled_attention_works_on_another_device(solution):
    assert_works_elsewhere(of(solution), *inputs(True), what="tiled_attention")


def test_tiled_attention_takes_tensors_in_any_order_of_memory(solution):
    assert_layout_is_free(
        of(solution), *inputs(True), what="what tiled_attention gives for non-contiguous inputs"
    )


# --- values --------------------------------------------------------------------------------------


@BOTH
def test_a_single_tile_is_plain_attention(solution, causal):
    q, k, v = inputs(causal)
    right = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    assert_close(
        tiled(solution, q, k, v, 99, causal=causal), right, f"the output for tile_size=99 and causal={causal}",
        because="Everything fits into one tile, so this is weighted / total of all keys at once, with scores of q · k "
        "/ sqrt(D).",
    )


@pytest.mark.parametrize("d", [1, 16])
def test_the_scores_are_divided_by_the_root_of_d(solution, d):
    q, k, v = inputs(d=d)
    right = F.scaled_dot_product_attention(q, k, v)
    assert_close(
        tiled(solution, q, k, v, 4), right, f"the output with D = {d}",
        because=f"A score is q · k / sqrt(D), and D = {d} is the number of channels of a query.",
    )


@pytest.mark.parametrize("tile_size", [1, 2, 4])
def test_equal_scores_average_the_values(solution, tile_size):
    q, k, v = inputs()
    q = torch.zeros_like(q)
    right = v.mean(-2, keepdim=True).expand(T, E)
    assert_close(
        tiled(solution, q, k, v, tile_size), right, f"the output when all scores are 0, tile_size={tile_size},",
        because="Every key counts once and as much as any other, in whichever tile it lies, the last and smaller one "
        "included; the division by the total comes after all tiles.",
    )


@BOTH
@pytest.mark.parametrize("tile_size", [1, 2, 3, 4, 7, 8, 11])
def test_the_size_of_the_tiles_does_not_show(solution, tile_size, causal):
    q, k, v = inputs(causal)
    right = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    assert_close(
        tiled(solution, q, k, v, tile_size, causal=causal), right, f"the output for tile_size={tile_size}, "
            f"causal={causal},",
        because="F.scaled_dot_product_attention gives the expected value. Tiles change in which order keys are looked "
        "at, and nothing else.",
    )


@BOTH
def test_texts_and_heads_are_attentions_of_their_own(solution, causal):
    q, k, v = inputs(causal, (B, H))
    right = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
    assert_close(
        tiled(solution, q, k, v, 3, causal=causal), right, f"the output with leading axes, causal={causal},",
        because="F.scaled_dot_product_attention gives the expected value; tiles are cut from the last axis but one.",
    )


@pytest.mark.parametrize("slope", [30.0, -30.0])
def test_the_highest_score_may_come_early_or_late(solution, slope):
    q, k, v = inputs()
    q, k = q.clone(), k.clone()
    q[:, 0], k[:, 0] = D**0.5, slope * torch.arange(S, device=k.device)
    right = F.scaled_dot_product_attention(q, k, v)
    assert_close(
        tiled(solution, q, k, v, 2), right, f"the output when each key's score is {slope:g} above the one before",
        because="Whatever was added up before a higher score came is scaled down by exp(old highest - new highest), "
        "and what comes after a higher one is small from the start.", atol=1e-4,
    )


@BOTH
@pytest.mark.parametrize("sign", [1, -1])
def test_scores_of_tens_of_thousands_do_not_overflow(solution, sign, causal):
    q, k, v = inputs(causal)
    q, k = sign * 3e4 * q.abs(), k.abs()
    right = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), is_causal=causal).float()
    out = tiled(solution, q, k, v, 3, causal=causal)
    assert_close(
        out, right, f"the output for scores around {sign * 4e4:g}, causal={causal},", because=about_large_scores(out),
        atol=0.05,  # such a score is rounded by up to 4e-3, which moves a weight by as much
    )


def test_not_causal_unless_you_say_so(solution):
    q, k, v = inputs(True)
    told = tiled(solution, q, k, v, 3, causal=False)
    assert_identical(
        tiled(solution, q, k, v, 3), told, "the output without the argument causal",
        because="The signature is tiled_attention(q, k, v, tile_size, causal=False).",
    )


@pytest.mark.parametrize("t", [3, 12])
def test_nothing_is_kept_for_the_next_length(solution, t):
    q, k, v = inputs(True, t=t)
    right = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    solution.tiled_attention(*inputs(True), 3, causal=True)
    assert_close(
        tiled(solution, q, k, v, 4, causal=True), right, f"the output for {t} tokens, after a call with {T},",
        because="A call follows from what it is given: what has been seen begins anew in each.",
    )


# --- tiles ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("tile_size", [1, 2, 3])
def test_tiles_of_later_keys_are_skipped(solution, tile_size):
    q, k, v = inputs(True)
    right = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    for last in range(tile_size, T, tile_size):
        later_k, later_v = k.clone(), v.clone()
        later_k[last:], later_v[last:] = torch.nan, torch.nan
        out = tiled(solution, q, later_k, later_v, tile_size, causal=True)[:last]
        assert_close(
            out, right[:last], f"the output of tokens 0 to {last - 1} for tile_size={tile_size}, with NaN in all later "
            "keys and values,",
            because="A tile of keys that lies wholly behind a tile of queries is skipped, so what is in it does not "
            "matter; a mask alone does not help, as 0 * NaN is NaN.",
        )


@BOTH
def test_no_tensor_is_larger_than_a_tile_or_the_inputs(solution, causal):
    n, tile_size = 60, 12
    q, k, v = (draw(name, n, size) for name, size in (("q", D), ("k", D), ("v", E)))
    with Made() as made:
        out = solution.tiled_attention(q, k, v, tile_size, causal=causal)
    assert_shape(out, (n, E), "the output")
    limit = max(tile_size**2, 2 * n * D)
    observe("the largest tensor", max(made.sizes, default=0))
    assert_true(
        max(made.sizes, default=0) <= limit,
        f"for T = S = {n} and tile_size={tile_size} a tensor of {max(made.sizes, default=0)} entries is made, above "
        f"{limit}",
        because=f"Scores are made for one tile of queries and one tile of keys at a time, {tile_size} * {tile_size} = "
        f"{tile_size**2} of them; {n} * {n} = {n * n} is the whole table, and {n} * {tile_size} = {n * tile_size} a "
        "tile of keys for all queries. Masks count as well.",
    )


def test_torchs_own_attention_has_no_part_in_it(solution):
    n, tile_size = 60, 12
    q, k, v = (draw(name, n, size) for name, size in (("q", D), ("k", D), ("v", E)))
    with Made() as made:
        solution.tiled_attention(q, k, v, tile_size)
    few = len(made.sizes) < (n // tile_size) ** 2
    assert_equal(
        few, False, f"whether fewer operations are done than there are tiles, {(n // tile_size) ** 2} for T = S = {n} "
        f"and tile_size={tile_size},",
        because="Each tile of queries meets each tile of keys in a product of its own. A function that does all of "
        "attention at once, such as F.scaled_dot_product_attention, is what this problem is to be written without.",
    )
