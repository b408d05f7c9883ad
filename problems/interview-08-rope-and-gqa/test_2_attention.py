"""Interview 08, second part: what GroupedQueryAttention promises.

The oracle is F.scaled_dot_product_attention on the module's own weights, head by head, with queries and keys turned as
complex numbers. Shapes: B batch, T tokens, C n_embd, H n_head, K n_kv_head, D = C // H, G = H // K.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_gradients,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_raises,
    assert_repeatable,
    assert_rows_independent,
    assert_shape,
    assert_tensor,
    draw,
    fill,
    name_sizes,
    twins,
)
from common.testing.attention import about_large_scores
from common.testing.calls import assert_nothing_is_kept
from common.testing.causality import assert_causal, assert_finite
from common.testing.comparisons import assert_same_gradients
from common.testing.dtypes import assert_half_precision
from common.testing.elsewhere import DevicesDiffer, elsewhere

B, T, C, H, K, D, G = 5, 7, 24, 6, 2, 4, 3
KINDS = pytest.mark.parametrize(
    "n_kv_head", [2, 3, 6, 1], ids=["2 of 6", "3 of 6", "multi-head, 6 of 6", "multi-query, 1 of 6"]
)


def attention(solution, n_kv_head=K, **options):
    name_sizes(C=C, H=H, K=n_kv_head, D=D)
    return fill(solution.GroupedQueryAttention(C, H, n_kv_head, **options))


def text(length=T, name="x"):
    return draw(name, B=B, T=length, C=C)


def places(*numbers):
    return torch.tensor(numbers, device=draw("d", 1).device)


def turned(x, positions, base):
    """Channels i and i + D / 2 of (B, T, D) as one complex number, times e^(i * angle)."""
    half = x.size(-1) // 2
    speeds = torch.tensor([base ** (-i / half) for i in range(half)], dtype=torch.float64, device=x.device)
    angles = positions.double()[..., None] * speeds
    pairs = torch.complex(x[..., :half].double(), x[..., half:].double()) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([pairs.real, pairs.imag], dim=-1).to(x.dtype)


def right(model, x, positions=None, base=10000.0):
    """What the module's weights give, one query head after the other."""
    with torch.no_grad():
        positions = torch.arange(x.size(1), device=x.device) if positions is None else positions
        q, k, v = (
            F.linear(x, layer.weight).split(D, dim=-1) for layer in (model.q_proj, model.k_proj, model.v_proj)
        )
        group = len(q) // len(k)
        heads = [
            F.scaled_dot_product_attention(
                turned(query, positions, base), turned(k[h // group], positions, base), v[h // group], is_causal=True
            )
            for h, query in enumerate(q)
        ]
        return F.linear(torch.cat(heads, dim=-1), model.o_proj.weight)


def called(model, *inputs):
    return assert_tensor(model(*inputs), "the output")


# --- what it is ----------------------------------------------------------------------------------


@KINDS
def test_the_parameters_are_four_weights(solution, n_kv_head):
    few = n_kv_head * D
    shapes = {"q_proj.weight": (C, C), "k_proj.weight": (few, C), "v_proj.weight": (few, C), "o_proj.weight": (C, C)}
    model = solution.GroupedQueryAttention(C, H, n_kv_head)
    assert_parameters(
        model, shapes, f"GroupedQueryAttention({C}, {H}, {n_kv_head})",
        because="q_proj is Linear(C, H * D), k_proj and v_proj are Linear(C, K * D), o_proj is Linear(H * D, C), all "
        "without a bias.",
    )
    assert_equal(
        sorted(model.state_dict()), sorted(shapes), "the list of state_dict keys",
        because="Masks and angles are not learned, so they do not belong into a checkpoint: persistent=False, or made "
        "anew.",
    )


@pytest.mark.parametrize("length", [1, T, 40])
def test_the_output_has_the_shape_of_the_input(solution, length):
    assert_shape(
        called(attention(solution), text(length)), (B, length, C), "the output",
        because="Every token comes out with as many channels as it went in, and a text may have any length.",
    )


def test_every_output_is_a_number(solution):
    assert_finite(attention(solution), text())


def test_the_inputs_are_left_as_they_were(solution):
    model = attention(solution)
    assert_input_untouched(model, text(), torch.arange(T, device=text().device), what="GroupedQueryAttention")


def test_nothing_is_remembered(solution):
    assert_repeatable(attention(solution), text(), what="the output")


def test_a_text_of_another_length_may_follow(solution):
    assert_nothing_is_kept(lambda: attention(solution), text(4), text(9, "y"), "the output")


@pytest.mark.parametrize(
    ("sizes", "naming"),
    [((26, 6, 2), [26, 6]), ((24, 6, 4), [6, 4]), ((24, 2, 4), [2, 4]), ((15, 3, 1), [5]), ((24, 0, 1), [0]),
     ((24, 6, 0), [0]), ((24, 6, -2), [-2]), ((0, 6, 2), [0]), ((24, -6, 2), [-6])],
    ids=str,
)  # fmt: skip
def test_sizes_that_do_not_fit_are_refused(solution, sizes, naming):
    with assert_raises(
        ValueError, f"GroupedQueryAttention{sizes}", naming=naming,
        because="n_head divides n_embd, n_kv_head divides n_head, D = n_embd / n_head is even, and all are at least 1.",
    ):
        solution.GroupedQueryAttention(*sizes)


# --- who shares with whom ------------------------------------------------------------------------


@KINDS
def test_each_query_head_gets_the_values_of_its_group(solution, n_kv_head):
    model, x, group = attention(solution, n_kv_head), text(), H // n_kv_head
    with torch.no_grad():
        model.q_proj.weight.zero_()
        model.o_proj.weight.copy_(torch.eye(C))
        values = F.linear(x, model.v_proj.weight).split(D, dim=-1)
    count = torch.arange(1, T + 1, device=x.device).view(T, 1)
    expected = torch.cat([values[h // group].cumsum(1) / count for h in range(H)], dim=-1)
    assert_close(
        called(model, x), expected, f"the output with queries of 0 and o_proj as identity, for {n_kv_head} heads of "
        "values,",
        because=f"All scores are 0, so query head h averages the values of head h // {group} over the tokens that it "
        "sees, and puts the result into channels h * D to (h + 1) * D - 1. Values are not turned.",
    )


@pytest.mark.parametrize("head", range(K))
def test_a_head_of_keys_serves_its_group_alone(solution, head):
    model, x = attention(solution), text()
    with torch.no_grad():
        model.o_proj.weight.copy_(torch.eye(C))
        before = called(model, x).clone()
        model.k_proj.weight[head * D : (head + 1) * D] *= -1
        moved = (called(model, x) - before).unflatten(-1, (H, D)).abs().amax((0, 1, 3)) > 1e-4
    assert_equal(
        moved.nonzero().flatten().tolist(), list(range(head * G, (head + 1) * G)),
        f"the list of query heads whose result moves with head {head} of the keys",
        because=f"Query head h asks head h // {G} of the keys: {G} heads in a row share one.",
    )


@KINDS
def test_without_positions_it_is_attention_with_shared_heads(solution, n_kv_head):
    model, x = attention(solution, n_kv_head), text()
    zeros = torch.zeros(T, dtype=torch.long, device=x.device)
    assert_close(
        called(model, x, zeros), right(model, x, zeros), f"the output with all positions 0 and {n_kv_head} heads of "
        "keys",
        because="Nothing turns, so this is causal F.scaled_dot_product_attention in each query head, with the keys and "
        f"values of head h // {H // n_kv_head}, scores divided by sqrt(D), and then o_proj.",
    )


def test_no_token_sees_a_later_one(solution):
    assert_causal(attention(solution), text())


def test_large_scores_do_not_overflow(solution):
    model, x = attention(solution), 100 * text()
    zeros = torch.zeros(T, dtype=torch.long, device=x.device)
    out = called(model, x, zeros)
    assert_close(
        out, right(model, x, zeros), "the output for an input 100 times as large", because=about_large_scores(out),
        atol=0.5, rtol=1e-2,  # a score of 10,000 is rounded by 1e-3, and values are in the hundreds
    )


# --- positions -----------------------------------------------------------------------------------


@KINDS
def test_queries_and_keys_are_turned(solution, n_kv_head):
    model, x = attention(solution, n_kv_head), text()
    assert_close(
        called(model, x), right(model, x), f"the output with {n_kv_head} heads of keys",
        because="Queries and keys are turned by their tokens' positions, 0 to T - 1, before the scores are made; "
        "values are not.", atol=3e-5, rtol=3e-5,
    )


def test_positions_count_from_0_unless_they_are_given(solution):
    model, x = attention(solution), text()
    told = called(model, x, torch.arange(T, device=x.device)).clone()
    assert_close(
        called(model, x), told, "the output without positions, against positions 0 to 6,",
        because="Without positions they are 0 to T - 1.",
    )


def test_only_distances_count(solution):
    model, x = attention(solution), text()
    before = called(model, x, torch.arange(T, device=x.device)).clone()
    assert_close(
        called(model, x, 50 + torch.arange(T, device=x.device)), before, "the output with all positions 50 higher",
        because="Queries and keys turn alike, so a score depends on how far apart two tokens stand; values do not "
        "turn.", atol=1e-4, rtol=1e-4,
    )


def test_given_positions_are_used(solution):
    model, x, positions = attention(solution), text(), places(0, 1, 5, 6, 20, 21, 90)
    assert_close(
        called(model, x, positions), right(model, x, positions), "the output at positions with gaps",
        because="Queries and keys are turned by the positions that were given.", atol=1e-4, rtol=1e-4,
    )


def test_given_positions_may_differ_from_text_to_text(solution):
    model, x = attention(solution), text()
    positions = torch.stack([(b + 1) * torch.arange(T, device=x.device) for b in range(B)])
    assert_close(
        called(model, x, positions), right(model, x, positions), "the output with positions of shape (B, T)",
        because="Row b of the positions belongs to text b.", atol=1e-4, rtol=1e-4,
    )


def test_who_sees_whom_is_a_matter_of_order(solution):
    model, x = attention(solution), text()
    backwards = torch.arange(T, device=x.device).flip(0)
    assert_close(
        called(model, x, backwards), right(model, x, backwards), "the output with positions that run backwards",
        because="Token t sees tokens 0 to t of x, whatever their positions are.", atol=3e-5, rtol=3e-5,
    )


@pytest.mark.parametrize("base", [50.0, 500000.0])
def test_the_base_is_that_of_the_constructor(solution, base):
    model, x, positions = attention(solution, base=base), text(), 3 * torch.arange(T, device=text().device)
    assert_close(
        called(model, x, positions), right(model, x, positions, base), f"the output with base={base:g}",
        because="The base that the constructor was given goes to rotate, for queries and keys.", atol=1e-4, rtol=1e-4,
    )


def test_a_module_without_a_base_has_10000(solution):
    x, positions = text(), 30 * torch.arange(T, device=text().device)
    told = called(attention(solution, base=10000.0), x, positions).clone()
    assert_identical(
        called(attention(solution), x, positions), told, "the output of a module that was made without a base",
        because="The signature ends in base=10000.0.",
    )


def test_another_module_keeps_its_own_base(solution):
    one, x = attention(solution, base=50.0), text()
    called(attention(solution), x)
    assert_close(
        called(one, x), right(one, x, base=50.0), "the output of a module with base=50, after another one was used,",
        because="Angles that are kept for the next call belong to a module and a base, and not to all.", atol=1e-4,
        rtol=1e-4,
    )


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(attention(solution), text(), what="the output", other=text(name="y"))


# --- learning, types and devices -----------------------------------------------------------------


@KINDS
def test_every_parameter_gets_a_gradient(solution, n_kv_head):
    model = attention(solution, n_kv_head)
    called(model, text()).pow(2).mean().backward()
    assert_gradients(model, "the mean of the squared output", again=lambda: called(model, text()))


@KINDS
def test_the_gradients_are_those_of_the_formula(solution, reference, n_kv_head):
    assert_same_gradients(
        *twins(solution.GroupedQueryAttention, reference.GroupedQueryAttention, C, H, n_kv_head), text()
    )


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(attention(solution), text(), what="the output")


def test_it_works_in_half_precision(solution):
    assert_half_precision(attention(solution), text())
    model = attention(solution).to(torch.bfloat16)
    assert_equal(
        str(called(model, text().to(torch.bfloat16)).dtype), "torch.bfloat16", "the dtype of the output in bfloat16",
        because="What is computed in float32 is cast back.",
    )


def test_it_moves_to_another_device(solution):
    assert_moves(attention(solution), text(), what="the output")


def test_positions_may_lie_on_another_device(solution):
    model, trouble = attention(solution), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            model(send(text()), send(torch.arange(T)))
        except DevicesDiffer as error:
            trouble = str(error)
    assert_equal(
        trouble, "", "the error of forward with x and positions on another device",
        because="A tensor that is made on the way is made where x is: device=x.device.",
    )
