"""Interview 08, first part: what rotate and repeat_kv promise.

The oracle turns complex numbers, in double precision. Shapes: B batch, H heads, T tokens, D channels of a head.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_raises,
    assert_shape,
    assert_tensor,
    draw,
)
from common.testing.attending import assert_works_elsewhere
from common.testing.comparisons import assert_gradients_of, assert_layout_is_free

B, H, T, D = 2, 3, 5, 8


def vectors(name="x"):
    return draw(name, B=B, H=H, T=T, D=D)


def places(*numbers):
    return torch.tensor(numbers, device=draw("d", 1).device)


def counted(length=T):
    return torch.arange(length, device=draw("d", 1).device)


def turned(x, positions, base=10000.0):
    """Channels i and i + D / 2 as one complex number, times e^(i * angle)."""
    half = x.size(-1) // 2
    speeds = torch.tensor([base ** (-i / half) for i in range(half)], dtype=torch.float64, device=x.device)
    angles = positions.double()[..., None] * speeds
    angles = angles if positions.ndim == 1 else angles[:, None]
    pairs = torch.complex(x[..., :half].double(), x[..., half:].double()) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([pairs.real, pairs.imag], dim=-1).to(x.dtype)


def rotated(solution, x, positions, **options):
    return assert_tensor(solution.rotate(x, positions, **options), "the result of rotate")


# --- rotate: what others stand on ----------------------------------------------------------------


def test_every_vector_comes_back(solution):
    because = "Each vector is turned in its place."
    assert_shape(rotated(solution, vectors(), counted()), (B, H, T, D), "rotate(x, positions)", because=because)
    x = draw("x", B=B, H=H, T=1, D=2)
    assert_shape(
        rotated(solution, x, places(4)), (B, H, 1, 2), "rotate(x, positions) for one token and one pair",
        because=because,
    )


def test_rotate_leaves_its_inputs_alone(solution):
    assert_input_untouched(solution.rotate, vectors(), counted(), what="rotate")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_rotate_answers_in_the_type_of_x(solution, dtype):
    out = rotated(solution, vectors().to(dtype), counted())
    assert_equal(
        str(out.dtype), str(dtype), f"the dtype of rotate for x in {dtype}",
        because="Angles are float32 or better, and the result is cast to the type of x in the end.",
    )


def test_the_same_vectors_in_another_layout(solution):
    assert_layout_is_free(
        lambda x: rotated(solution, x, counted()), vectors(), what="rotate of a tensor that is not contiguous"
    )


# --- rotate: the angles --------------------------------------------------------------------------


def test_position_0_turns_nothing(solution):
    x = vectors()
    assert_close(
        rotated(solution, x, 0 * counted()), x, "rotate(x, positions) with all positions 0",
        because="The angle is position times something, and a turn by 0 leaves everything as it is.",
    )


def test_a_turn_keeps_the_length(solution):
    x, far = vectors(), places(0, 1, 7, 60, 500)
    assert_close(
        rotated(solution, x, far).norm(dim=-1), x.norm(dim=-1), "the length of each vector after rotate",
        because="cos² + sin² is 1, so a pair (a, b) is as long after its turn, a * cos - b * sin and "
        "a * sin + b * cos, as before.",
    )


@pytest.mark.parametrize("channel", range(D))
def test_a_channel_turns_with_its_partner(solution, channel):
    x = draw("d", 1).new_zeros(1, 1, 1, D)
    x[..., channel] = 1.0
    moved = rotated(solution, x, places(2))[0, 0, 0]
    partner = (channel + D // 2) % D
    others = [i for i, value in enumerate(moved.tolist()) if abs(value) > 1e-6 and i not in (channel, partner)]
    assert_equal(
        others, [], f"the list of channels, beside {channel} and {partner}, that are not 0 after a vector with 1 in "
        f"channel {channel} alone was turned",
        because=f"Channels i and i + D / 2 make a pair, so with D = {D} channel {channel} goes with {partner}.",
    )
    expected = turned(x, places(2))[0, 0, 0]
    assert_close(
        moved, expected, f"the turned vector that had 1 in channel {channel} alone, at position 2",
        because=f"Pair i turns by p * base^(-2i / D), from (a, b) to (a * cos - b * sin, a * sin + b * cos); this is "
        f"the {'first' if channel < D // 2 else 'second'} of pair {channel % (D // 2)}.",
    )


def test_each_token_turns_by_its_own_position(solution):
    x = draw("token", D).expand(B, H, T, D).clone()
    assert_close(
        rotated(solution, x, counted()), turned(x, counted()), "rotate of one vector at positions 0 to 4",
        because="Token t turns by the angles of positions[t], in every text and every head.",
    )


@pytest.mark.parametrize("size", [2, 6, 10])
def test_the_angles_follow_from_the_number_of_channels(solution, size):
    x = draw("x", B=B, H=H, T=T, D=size)
    assert_close(
        rotated(solution, x, counted()), turned(x, counted()), f"rotate with D = {size}",
        because=f"There are D / 2 = {size // 2} pairs with the speeds base^(-2i / D), the first of which is 1.",
    )


def test_positions_may_come_in_any_order(solution):
    x, positions = vectors(), places(3, 0, 11, 3, 7)
    assert_close(
        rotated(solution, x, positions), turned(x, positions), "rotate at positions 3, 0, 11, 3 and 7",
        because="The positions that are given count, and not the place in x.",
    )


def test_each_text_may_have_positions_of_its_own(solution):
    x, positions = vectors(), torch.stack([places(0, 1, 2, 3, 4), places(0, 0, 9, 1, 2)])
    assert_close(
        rotated(solution, x, positions), turned(x, positions), "rotate with positions of shape (B, T)",
        because="Row b of the positions belongs to text b, and to all of its heads.",
    )


@pytest.mark.parametrize("rows", [H, T, 1], ids=["B = H", "B = T", "B = 1"])
def test_positions_of_texts_are_not_taken_for_those_of_heads(solution, rows):
    x = draw("x", rows, H, T, D)
    positions = draw("places", rows, T).abs().mul(5).long()
    assert_close(
        rotated(solution, x, positions), turned(x, positions), f"rotate of {rows} texts with positions of shape (B, T)",
        because="(B, T, D / 2) angles need an axis for the heads, (B, 1, T, D / 2), even where other sizes would fit.",
    )


@pytest.mark.parametrize("base", [100.0, 500000.0])
def test_base_sets_how_slow_the_last_pair_is(solution, base):
    x, positions = vectors(), places(0, 1, 5, 9, 30)
    assert_close(
        rotated(solution, x, positions, base=base), turned(x, positions, base), f"rotate with base={base:g}",
        because="Pair i turns by p * base^(-2i / D), with the base that was given.",
    )


def test_the_base_is_10000_unless_it_is_given(solution):
    x = vectors()
    told = rotated(solution, x, counted(), base=10000.0)
    assert_identical(
        rotated(solution, x, counted()), told, "rotate(x, positions) without a base",
        because="The signature is rotate(x, positions, base=10000.0).",
    )


def test_a_score_knows_the_distance_only(solution):
    q, k = draw("q", B, H, 1, D), draw("k", B, H, 1, D)
    scores = [
        (rotated(solution, q, places(p + 3)) * rotated(solution, k, places(p))).sum(-1) for p in (0, 1, 29)
    ]
    for p, score in zip((1, 29), scores[1:], strict=True):
        assert_close(
            score, scores[0], f"the score of a query at {p + 3} with a key at {p}, against 3 and 0,", atol=1e-4,
            because="A turn of both by the same angle leaves their product alone, so that only the distance counts.",
        )


@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float32, 3e-3), (torch.bfloat16, 0.05), (torch.float16, 0.01)], ids=str
)
def test_far_positions_turn_by_the_right_angle(solution, dtype, atol):
    x, positions = vectors().to(dtype), places(255, 259, 999, 1021, 4093)
    assert_close(
        rotated(solution, x, positions).float(), turned(x.float(), positions),
        f"rotate of x in {dtype} at positions up to 4093",
        because="Angles are computed in float32 or better: a bfloat16 has 8 bits, so whole numbers above 256 and the "
        "fractions of an angle are lost in it. cos and sin may be rounded, and the angle may not.",
        atol=atol,  # the angle itself is rounded, 4093 * 2^-24 in float32, and then each product in the type of x
        rtol=atol,
    )


@pytest.mark.parametrize("size", [1, 7])
def test_an_odd_number_of_channels_is_refused(solution, size):
    with assert_raises(
        ValueError, f"rotate of x with D = {size}", naming=[size], because="Channels are turned in pairs."
    ):
        solution.rotate(draw("x", B=B, H=H, T=T, D=size), counted())


def test_rotate_keeps_nothing_from_call_to_call(solution):
    x, then = draw("x", B=B, H=H, T=2, D=4), draw("y", B=1, H=H, T=9, D=D)
    rotated(solution, x, places(5, 1), base=7.0)
    assert_close(
        rotated(solution, then, counted(9)), turned(then, counted(9)), "rotate, after a call with other sizes,",
        because="The result follows from what is given, and from no sizes, positions or base of an earlier call.",
    )


def test_rotate_passes_gradients_on(solution):
    assert_gradients_of(
        lambda x: rotated(solution, x, counted()), lambda x: turned(x, counted()), {"x": vectors()},
        because="The way back of a turn is the turn by the opposite angle.",
    )


def test_rotate_works_on_another_device(solution):
    assert_works_elsewhere(solution.rotate, vectors(), counted(), what="rotate")


# --- repeat_kv -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rep", [1, 2, 4])
def test_repeat_kv_makes_that_many_heads(solution, n_rep):
    assert_shape(
        assert_tensor(solution.repeat_kv(vectors(), n_rep), "the result of repeat_kv"), (B, H * n_rep, T, D),
        f"repeat_kv(x, {n_rep})", because="Each head comes n_rep times, and nothing else grows.",
    )


@pytest.mark.parametrize("n_rep", [1, 2, 4])
def test_copies_of_a_head_stand_side_by_side(solution, n_rep):
    x = vectors()
    expected = torch.stack([x[:, h // n_rep] for h in range(H * n_rep)], dim=1)
    assert_close(
        assert_tensor(solution.repeat_kv(x, n_rep), "the result of repeat_kv"), expected, f"repeat_kv(x, {n_rep})",
        because=f"Head h of the result is head h // {n_rep} of x, text by text, token by token.",
    )


def test_repeat_kv_leaves_its_input_alone(solution):
    assert_input_untouched(lambda x: solution.repeat_kv(x, 2), vectors(), what="repeat_kv")


def test_repeat_kv_minds_no_layout(solution):
    assert_layout_is_free(
        lambda x: assert_tensor(solution.repeat_kv(x, 2), "the result of repeat_kv"), vectors(),
        what="repeat_kv of a tensor that is not contiguous",
    )


def test_gradients_of_the_copies_add_up(solution):
    assert_gradients_of(
        lambda x: assert_tensor(solution.repeat_kv(x, 3), "the result of repeat_kv"),
        lambda x: torch.stack([x[:, h // 3] for h in range(3 * H)], dim=1), {"x": vectors()},
        because="A head that serves three query heads learns from all of them.",
    )
