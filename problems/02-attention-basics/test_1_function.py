"""Problem 02, the function: what dot_product_attention promises, from cause to consequence.

Shapes: B batch, T tokens that ask, S tokens that are asked, D and E channels.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_repeatable,
    assert_shape,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.attending import (
    SideBySide,
    assert_scores,
    assert_works_elsewhere,
    pair_of,
)
from common.testing.attention import about_large_scores
from common.testing.comparisons import assert_gradients_of, assert_layout_is_free
from common.testing.dtypes import assert_half_precision

B, T, S, D, E = 4, 3, 5, 7, 9
AXES: dict[str, int] = {}  # as they are drawn
CALL = "dot_product_attention"


# --- what others stand on ------------------------------------------------------------------------


def inputs(*lead, t=T, s=S):
    return draw("query", *lead, T=t, D=D), draw("key", *lead, S=s, D=D), draw("value", *lead, S=s, E=E)


def side_by_side(solution):
    """The function as a module, for checks that ask the same of both."""
    return SideBySide(solution.dot_product_attention, CALL)


def attend(solution, *qkv):
    return pair_of(solution.dot_product_attention(*qkv), CALL)


def by_torch(query, key, value):
    weights = torch.softmax(query @ key.transpose(-2, -1), dim=-1)
    return weights @ value, weights


def test_it_returns_output_and_weights(solution):
    output, weights = attend(solution, *inputs(B))
    assert_shape(
        weights, (B, T, S), "the second result, the weights,",
        because="The weights have a row for each query and a column for each key, the table query @ key transposed; "
        "the output comes first and they come second.",
    )  # fmt: skip
    assert_shape(
        output, (B, T, E), "the first result, the output,",
        because="Each query gets one mixed value, with as many channels as the values have.",
    )  # fmt: skip


def test_the_function_leaves_its_inputs_alone(solution):
    assert_input_untouched(side_by_side(solution), *inputs(B), what=CALL)


def test_the_function_is_repeatable(solution):
    assert_repeatable(side_by_side(solution), *inputs(B), what=f"the result of {CALL}")


def test_every_weight_is_a_number(solution):
    _, weights = attend(solution, *inputs(B))
    assert_true(
        bool(weights.isfinite().all()), "some weights are NaN or infinite for ordinary scores",
        because="A weight is exp(score), divided by the sum of its row, which is above 0: both are finite numbers.",
    )  # fmt: skip


def test_inputs_that_are_not_contiguous_give_the_same(solution):
    assert_layout_is_free(side_by_side(solution), *inputs(B), what=f"the result of {CALL} for non-contiguous inputs")


@pytest.mark.parametrize("lead", [(), (B, 2), (1, 1)], ids=["none", "B and 2", "1 and 1"])
def test_any_leading_axes_are_kept(solution, lead):
    query, key, value = inputs(*lead)
    one_axis = attend(solution, *(t.reshape(-1, *t.shape[-2:]) for t in (query, key, value)))
    because = (
        "Only the last two axes take part, and all before them are batch: axes counted from the end, -1 and -2, fit "
        "any number of them, as @ does; axes counted from the front, torch.bmm and einsum('btd,...') fit one number "
        "only."
    )
    try:
        output, weights = attend(solution, query, key, value)
    except NotImplementedError:
        raise
    except (RuntimeError, IndexError, ValueError) as error:
        observe("refused", str(error))
        fail(
            f"{CALL} cannot take a query of shape {tuple(query.shape)}:", expected=f"weights of shape {(*lead, T, S)}",
            got=f"{type(error).__name__}: {str(error).splitlines()[0]}", because=because,
        )  # fmt: skip
    for name, mine, flat in (("output", output, one_axis[0]), ("weights", weights, one_axis[1])):
        assert_close(
            mine, flat.reshape(*lead, *flat.shape[1:]), f"the {name} for a query of shape {tuple(query.shape)}, "
                "compared with yours for the same texts along one axis,", because=because,
        )  # fmt: skip


def test_leading_axes_may_lie_in_memory_in_any_order(solution):
    assert_layout_is_free(
        side_by_side(solution), *inputs(B, 2),
        what=f"the result of {CALL} for inputs of several leading axes that are not contiguous",
    )  # fmt: skip


def test_the_function_works_in_double_precision(solution):
    assert_keeps_dtype(side_by_side(solution), *inputs(B), what=f"the result of {CALL}")
    _, weights = attend(solution, *(x.double() for x in inputs(B)))
    assert_equal(
        str(weights.dtype), "torch.float64", "the dtype of the weights for inputs in float64",
        because="The weights come in the type of the inputs, as the output does.",
    )  # fmt: skip


def test_the_function_works_in_half_precision(solution):
    assert_half_precision(side_by_side(solution), *inputs(B))


def test_the_function_works_on_another_device(solution):
    assert_works_elsewhere(side_by_side(solution), *inputs(B), what=CALL)


# --- the weights, and what they do ---------------------------------------------------------------


def test_weights_are_never_negative(solution):
    _, weights = attend(solution, *inputs(B))
    observe("the weights", weights)
    assert_true(
        bool((weights >= 0).all()), "some weights are negative",
        because="Weights are a softmax of the scores: exp(score), which is never negative, divided by the sum of its "
        "row.",
    )  # fmt: skip


def test_each_row_of_weights_sums_to_one(solution):
    _, weights = attend(solution, *inputs(B))
    observe("the weights", weights)
    assert_close(
        weights.sum(-1), torch.ones(B, T, device=weights.device), "the sum of a row of weights",
        because="Each query shares out one unit of attention over the keys, which lie along the last axis.",
    )  # fmt: skip


def test_equal_keys_share_the_attention_equally(solution):
    query, _, value = inputs(B)
    _, weights = attend(solution, query, draw("one key", 1, 1, D).repeat(B, S, 1), value)
    assert_close(
        weights, torch.full((B, T, S), 1 / S, device=weights.device), "a weight when all keys are the same",
        because="Keys that answer equally well get the same weight, 1 / S, wherever they stand.",
    )  # fmt: skip


def test_equal_weights_give_the_average_of_the_values(solution):
    query, _, value = inputs(B)
    average = value.mean(-2, keepdim=True).expand(B, T, E)
    output, _ = attend(solution, query, draw("one key", 1, 1, D).repeat(B, S, 1), value)
    assert_close(
        output, average, "the output when all keys are the same",
        because="Each value has the weight 1 / S, so what comes out is their plain average.",
    )  # fmt: skip


def test_the_key_that_answers_best_gets_the_attention(solution):
    # Queries and keys along the axes: query t fits key best[t] with a score of 50, all others with 0.
    axes, best = torch.eye(D), torch.tensor([[4, 0, 2], [1, 3, 4]])
    key = axes[[6, 3, 0, 5, 2]].repeat(2, 1, 1)
    query = torch.stack([50 * key[b, best[b]] for b in range(2)])
    value = draw("value", 2, S, E)
    _, weights = attend(solution, query.to(value.device), key.to(value.device), value)
    observe("the weights", weights)
    assert_equal(
        weights.argmax(-1).tolist(), best.tolist(), "the list of the keys with the largest weight, query by query,",
        because="Row t holds the scores of query t with each of the keys, query @ key.mT, and the softmax goes along "
        "the keys: whatever is subtracted or divided by in it is one number for each row.",
    )  # fmt: skip


def test_scores_are_plain_dot_products(solution):
    query, key, value = inputs(B)
    scores = (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(-1)
    _, weights = attend(solution, query, key, value)
    assert_scores(
        weights, scores, because="Score [t, s] is the dot product of query t and key s, as it is: there is no scale in "
        "this problem, and no other function on the way to the softmax.",
    )  # fmt: skip


def test_the_output_mixes_the_values_by_the_weights(solution):
    query, key, value = inputs(B)
    right = value.clone()
    output, weights = attend(solution, query, key, value)
    assert_close(
        output, weights @ right, "the output, compared with your own weights @ value,",
        because="Row t of the output is the sum of weights[t, s] * value[s] over all keys s, with the weights as "
        "returned.",
    )  # fmt: skip


def test_large_scores_do_not_overflow(solution):
    query, key, value = inputs(B)
    _, right = by_torch(50 * query, 50 * key, value)
    _, weights = attend(solution, 50 * query, 50 * key, value)
    assert_close(
        weights, right, "the weights for scores in the thousands",
        because=about_large_scores(weights),
        atol=2e-2,  # a score of 10,000 is rounded by 1e-3, which moves a weight by as much
    )  # fmt: skip


def test_the_functions_gradients_are_those_of_torch(solution):
    assert_gradients_of(
        lambda *qkv: attend(solution, *qkv)[0], lambda *qkv: by_torch(*qkv)[0],
        dict(zip(("query", "key", "value"), inputs(B), strict=True)),
    )  # fmt: skip


def test_the_weights_pass_a_gradient_on_too(solution):
    query, key, value = inputs(B)
    assert_gradients_of(
        lambda q, k: attend(solution, q, k, value)[1], lambda q, k: by_torch(q, k, value)[1],
        {"query": query, "key": key},
        because="This is the gradient of the weights, the second result: what is computed for them alone learns, too.",
    )  # fmt: skip
