"""Interview 15, first part: what partial_attention and merge promise, from cause to consequence.

Shapes: B batch, H heads, T queries, n keys, E channels of a value.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.attending import assert_works_elsewhere
from common.testing.comparisons import assert_layout_is_free

B, H, T, N, E = 2, 3, 5, 7, 4
AXES: dict[str, int] = {"H": H}
PARTS = ("weighted", "highest", "total")
MEANING = {
    "weighted": "It is the sum of exp(score - highest) times value, not divided by anything yet.",
    "highest": "It is the highest score of the row, over all keys seen.",
    "total": "It is the sum of exp(score - highest) over the row; the highest score itself counts as exp(0) = 1.",
}
EACH = pytest.mark.parametrize("part", PARTS)


def named(found, call):
    """The three by name, after a look at their form."""
    three = isinstance(found, tuple | list) and len(found) == 3
    observe(f"{call} returns three", three)
    if not three:
        got = f"{len(found)} of them" if isinstance(found, tuple | list) else f"a {type(found).__name__}"
        fail(
            f"{call} should return three tensors:", expected="weighted, highest, total", got=got,
            because="All three go back, in this order.",
        )
    return {name: assert_tensor(x, name) for name, x in zip(PARTS, found, strict=True)}


def partial(solution, scores, v):
    return named(solution.partial_attention(scores, v), "partial_attention(scores, v)")


def merged(solution, first, second):
    return named(solution.merge(first, second), "merge(first, second)")


def right(scores, v):
    """The three in double precision; exp(-inf) is 0 where a row sees nothing."""
    wide = scores.double()
    highest = wide.amax(-1, keepdim=True)
    weights = torch.exp(wide - highest.masked_fill(highest == -torch.inf, 0.0))
    found = weights @ v.double(), highest, weights.sum(-1, keepdim=True)
    return tuple(x.to(scores.dtype) for x in found)


def as_dict(three):
    return dict(zip(PARTS, three, strict=True))


def tile(name="a", lead=(B, H), n=N):
    return 2 * draw(f"scores {name}", *lead, T, n), draw(f"v {name}", *lead, n, E)


def flat(function):
    """The three of it in one tensor, and merge's six arguments one by one."""

    def call(*tensors):
        found = function(*tensors) if len(tensors) == 2 else function(tensors[:3], tensors[3:])
        return torch.cat([*named(found, "it").values()], -1)

    return call


def two():
    return *right(*tile("a")), *right(*tile("b", n=3))


# --- partial_attention ---------------------------------------------------------------------------


@pytest.mark.parametrize("lead", [(B, H), (), (H,)], ids=str)
def test_the_three_have_their_shapes(solution, lead):
    found = partial(solution, *tile(lead=lead))
    for (name, x), last in zip(found.items(), (E, 1, 1), strict=True):
        assert_shape(
            x, (*lead, T, last), name,
            because="weighted has a row of E channels for each query, highest and total a row of one number, so that "
            "the three go together: keepdim=True keeps that axis.",
        )


@pytest.mark.parametrize("which", ["partial_attention", "merge"])
def test_the_inputs_stay_as_they_are(solution, which):
    given = tile() if which == "partial_attention" else two()
    assert_input_untouched(flat(getattr(solution, which)), *given, what=which)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("which", ["partial_attention", "merge"])
def test_the_three_come_in_the_type_of_the_inputs(solution, which, dtype):
    given = [x.to(dtype) for x in (tile() if which == "partial_attention" else two())]
    found = partial(solution, *given) if len(given) == 2 else merged(solution, tuple(given[:3]), tuple(given[3:]))
    assert_equal(
        {name: str(x.dtype) for name, x in found.items()}, dict.fromkeys(PARTS, str(dtype)),
        f"the dtypes of what {which} gives for inputs in {dtype}",
        because="All three come in the type of the inputs; what was cast to compute in is cast back.",
    )


@pytest.mark.parametrize("which", ["partial_attention", "merge"])
def test_the_three_lie_on_the_device_of_the_inputs(solution, which):
    given = tile() if which == "partial_attention" else two()
    assert_works_elsewhere(flat(getattr(solution, which)), *given, what=which)


def test_partial_attention_takes_tensors_in_any_order_of_memory(solution):
    assert_layout_is_free(
        flat(solution.partial_attention), *tile(), what="what partial_attention gives for non-contiguous inputs"
    )


@pytest.mark.parametrize("part", ["highest", "total", "weighted"])
def test_each_of_the_three_is_what_it_is_called(solution, part):
    scores, v = tile()
    expected = as_dict(right(scores, v))[part]
    assert_close(partial(solution, scores, v)[part], expected, part, because=MEANING[part])


@pytest.mark.parametrize("shift", [1e5, -1e5, 300.0])
def test_large_scores_change_nothing_but_the_highest(solution, shift):
    scores, v = tile()
    scores = (scores * 64).round() / 64 + shift  # numbers that float32 holds exactly, here as well
    expected = as_dict(right(scores, v))
    for part, x in partial(solution, scores, v).items():
        assert_close(
            x, expected[part], f"{part} for scores around {shift:g}", rtol=2e-5,
            because=f"{MEANING[part]} exp overflows above 88 and is 0 below -104, so the highest score is subtracted "
            "before exp.",
        )


def test_each_row_has_a_highest_score_of_its_own(solution):
    scores, v = tile(lead=())
    scores[0] += 500
    scores[2] -= 500
    expected = as_dict(right(scores, v))
    for part, x in partial(solution, scores, v).items():
        assert_close(
            x, expected[part], f"{part} for rows that lie 500 apart", rtol=1e-4,  # 500 in float32 is off by 3e-5
            because=f"{MEANING[part]} Each row is a softmax of its own.",
        )


@EACH
def test_a_hidden_key_counts_nothing(solution, part):
    scores, v = tile(lead=())
    scores = scores.masked_fill(draw("hidden", T, N) > 0.5, -torch.inf)
    scores[:, 2] = 0.5
    expected = as_dict(right(scores, v))[part]
    assert_close(
        partial(solution, scores, v)[part], expected, f"{part} with some scores of -inf",
        because=f"{MEANING[part]} exp(-inf) is 0.",
    )


@EACH
def test_a_row_that_sees_nothing_gives_zeros(solution, part):
    scores, v = tile(lead=())
    scores[1] = -torch.inf
    expected = as_dict(right(scores, v))[part]
    assert_close(
        partial(solution, scores, v)[part], expected, f"{part} where every score of row 1 is -inf",
        because="Nothing is seen there: weighted and total are 0, and highest is -inf. -inf - -inf is NaN, so another "
        "number is subtracted in such a row.",
    )


# --- merge ---------------------------------------------------------------------------------------


@EACH
def test_merging_two_tiles_gives_what_both_give_together(solution, part):
    (scores_a, v_a), (scores_b, v_b) = tile("a"), tile("b", n=3)
    expected = as_dict(right(torch.cat([scores_a, scores_b], -1), torch.cat([v_a, v_b], -2)))[part]
    found = merged(solution, right(scores_a, v_a), right(scores_b, v_b))
    assert_close(
        found[part], expected, f"{part} of merge(first, second)", atol=3e-5,
        because=f"{MEANING[part]} Here it is of the keys of both. Either sum was taken with the highest score of its "
        "own keys, and goes on as seen from the highest of all: times exp(its highest - the highest of all).",
    )


@pytest.mark.parametrize("first", [0.0, 1000.0, -1000.0])
def test_either_may_hold_the_highest_score(solution, first):
    scores, v = tile("a", lead=())
    moved = ((scores * 64).round() / 64 + first, v), tile("b", lead=(), n=3)
    expected = as_dict(right(torch.cat([moved[0][0], moved[1][0]], -1), torch.cat([v, moved[1][1]], -2)))
    for part, x in merged(solution, *(right(*m) for m in moved)).items():
        assert_true(
            bool(x.isfinite().all()), f"{part} of merge is NaN or infinite where the first tile's scores lie {first:g} "
            "higher",
            because="exp of a difference above 88 overflows. With the higher one of the two subtracted from both, no "
            "exponent is above 0.",
        )
        assert_close(
            x, expected[part], f"{part} of merge where the first tile's scores lie {first:g} higher", atol=3e-5,
            because=f"{MEANING[part]} Which of the two holds the highest score is open, and each row has its own.",
        )


@pytest.mark.parametrize("side", ["first", "second", "both"])
def test_a_row_without_keys_takes_all_from_the_other(solution, side):
    a, b = (list(t) for t in (tile("a", lead=()), tile("b", lead=(), n=3)))
    for name, t in (("first", a), ("second", b)):
        if side in (name, "both"):
            t[0][1] = -torch.inf
    expected = as_dict(right(torch.cat([a[0], b[0]], -1), torch.cat([a[1], b[1]], -2)))
    for part, x in merged(solution, right(*a), right(*b)).items():
        assert_close(
            x, expected[part], f"{part} of merge where row 1 has seen nothing in {side}", atol=3e-5,
            because="(0, -inf, 0) adds nothing, and two of them stay (0, -inf, 0): exp(-inf - number) is 0, and only "
            "-inf - -inf, which is NaN, has to be kept away.",
        )


@pytest.mark.parametrize("pieces", [(1,) * N, (3, 4), (4, 2, 1)], ids=str)
def test_one_tile_after_the_other_gives_the_whole(solution, pieces):
    scores, v = tile()
    expected = as_dict(right(scores, v))
    seen = None
    for s, x in zip(scores.split(pieces, -1), v.split(pieces, -2), strict=True):
        found = solution.partial_attention(s, x)
        seen = found if seen is None else solution.merge(seen, found)
    for part, x in named(seen, "merge(first, second)").items():
        assert_close(
            x, expected[part], f"{part} of {N} keys, merged from tiles of {pieces},", atol=3e-5,
            because=f"{MEANING[part]} How the keys were cut into tiles does not show.",
        )
