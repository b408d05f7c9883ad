"""Problem 02: what dot_product_attention and SelfAttention promise, from cause to consequence.

Shapes: B batch, T tokens that ask, S tokens that are asked, C n_embd, D and E channels.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_gradients,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_same_module,
    assert_shape,
    assert_true,
    draw,
    fill,
    tiny,
    twins,
)

CONFIG = tiny()
B, T, S, D, E, C = 2, 3, 5, 7, 9, CONFIG.n_embd


def inputs():
    return draw("query", B, T, D), draw("key", B, S, D), draw("value", B, S, E)


# --- dot_product_attention -----------------------------------------------------------------------


def test_it_returns_two_tensors_output_and_weights(solution):
    result = solution.dot_product_attention(*inputs())
    assert_true(
        isinstance(result, tuple) and len(result) == 2, "dot_product_attention does not return a pair",
        because="Return both: `return output, weights`.",
    )  # fmt: skip
    output, weights = result
    assert_shape(
        weights, (B, T, S), "the second result, the weights,",
        because="One row for each query, one column for each key: the scores are query @ key transposed. Output comes first, weights second.",
    )  # fmt: skip
    assert_shape(
        output, (B, T, E), "the first result, the output,",
        because="Each query gets one mixed value: weights @ value has as many rows as queries and as many channels as the values.",
    )  # fmt: skip


def test_weights_are_positive_and_each_row_sums_to_one(solution):
    _, weights = solution.dot_product_attention(*inputs())
    assert_true(
        bool((weights >= 0).all()), "some weights are negative",
        because="Weights are a softmax of the scores, which is never negative. Raw scores or a log_softmax are.",
    )  # fmt: skip
    columns = weights.sum(-2)
    assert_close(
        weights.sum(-1), torch.ones(B, T, device=weights.device), "the sum of a row of weights",
        because="Each query shares out one unit of attention over the keys, so softmax runs over the last axis."
        + (" Your columns sum to 1 instead: it runs over the queries." if bool(((columns - 1).abs() < 1e-4).all()) else ""),
    )  # fmt: skip


def test_equal_keys_share_the_attention_equally(solution):
    query, _, value = inputs()
    key = draw("one key", 1, 1, D).expand(B, S, D)
    output, weights = solution.dot_product_attention(query, key, value)
    assert_close(
        weights, torch.full((B, T, S), 1 / S, device=weights.device), "a weight when all keys are the same",
        because="Keys that answer equally well get the same weight, 1 / S.",
    )  # fmt: skip
    assert_close(
        output, value.mean(-2, keepdim=True).expand(B, T, E), "the output when all weights are equal",
        because="The output is then the plain average of the values: weights @ value.",
    )  # fmt: skip


def test_the_key_that_answers_best_gets_the_attention(solution):
    # Queries and keys along the axes: query t matches key order[t], by a score of 50.
    order = torch.tensor([4, 0, 2])
    key = torch.eye(S, device=draw("query", 1).device)
    query = 50 * key[order]
    _, weights = solution.dot_product_attention(query, key, draw("value", S, E))
    assert_equal(
        weights.argmax(-1).tolist() if weights.shape == (T, S) else tuple(weights.shape), order.tolist(), "the list of best keys, query by query,",
        because="scores[i, j] is query i times key j: rows are queries. Transpose the key with .mT or .transpose(-2, -1); reshape would re-cut it.",
    )  # fmt: skip


def test_scores_are_plain_dot_products(solution):
    query, key, value = inputs()
    _, weights = solution.dot_product_attention(query, key, value)
    measured = weights.log() - weights.log()[..., :1]
    scores = (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(-1)
    expected = scores - scores[..., :1]
    factor = float(measured[..., 1:].mean() / expected[..., 1:].mean())
    assert_close(
        measured, expected, "the difference of two scores, read back from the weights,",
        because=f"Score [i, j] is the dot product of query i and key j, here without any scale (that is problem 03); yours are about {factor:.3g} "
        "times that, or mix other pairs.",
        atol=1e-4, rtol=1e-4,  # the logarithm of a small weight magnifies float32's rounding
    )  # fmt: skip


def test_the_output_mixes_the_values_by_the_weights(solution):
    query, key, value = inputs()
    output, weights = solution.dot_product_attention(query, key, value)
    assert_close(
        output, weights @ value, "the output, compared with your own weights @ value,",
        because="Row t of the output is the sum of weights[t, s] * value[s]: use the weights after the softmax, not the scores.",
    )  # fmt: skip


@pytest.mark.parametrize("lead", [(), (B,), (B, 4)], ids=["no batch", "one axis", "two axes"])
def test_any_leading_axes_are_kept(solution, lead):
    query, key, value = draw("query", *lead, T, D), draw("key", *lead, S, D), draw("value", *lead, S, E)
    output, weights = solution.dot_product_attention(query, key, value)
    expected = torch.softmax(query @ key.transpose(-2, -1), -1)
    assert_close(
        weights, expected, f"the weights for inputs with leading axes {lead}",
        because="Only the last two axes take part; whatever stands before them is batch. Count axes from the end: -1 and -2.",
    )  # fmt: skip
    assert_close(
        output, F.scaled_dot_product_attention(query, key, value, scale=1.0), f"the output for inputs with leading axes {lead}",
        because="F.scaled_dot_product_attention with scale=1.0 gives the expected value.",
    )  # fmt: skip


def test_large_scores_do_not_overflow(solution):
    query, key, value = inputs()
    output, weights = solution.dot_product_attention(100 * query, 100 * key, value)
    assert_true(
        bool(weights.isfinite().all()) and bool(output.isfinite().all()), "the result is NaN or infinite for scores in the ten thousands",
        because="exp overflows above 88: use torch.softmax, or subtract each row's maximum before exp.",
    )  # fmt: skip


def test_the_function_leaves_its_inputs_alone(solution):
    assert_input_untouched(lambda *qkv: solution.dot_product_attention(*qkv), *inputs(), what="dot_product_attention")


# --- SelfAttention -------------------------------------------------------------------------------


def attention(solution):
    return fill(solution.SelfAttention(CONFIG), gain=1.0)


def test_the_projections_have_their_names_and_shapes(solution):
    assert_parameters(
        solution.SelfAttention(CONFIG),
        {f"{name}.{kind}": shape for name in ("query", "key", "value") for kind, shape in (("weight", (C, C)), ("bias", (C,)))},
        "SelfAttention",
    )  # fmt: skip


@pytest.mark.parametrize("length", [1, 4, 7])
def test_the_output_has_the_shape_of_the_input(solution, length):
    assert_shape(
        attention(solution)(draw("x", B, length, C)), (B, length, C), "the output of SelfAttention",
        because="forward returns the output alone; the weights stay inside.",
    )  # fmt: skip


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(attention(solution), draw("x", B, T, C), what="the output")


def test_a_single_token_gets_its_own_value(solution):
    model, x = attention(solution), draw("x", B, 1, C)
    assert_close(
        model(x), model.value(x), "the output for a single token",
        because="One token can only attend to itself, with weight 1: its output is self.value(x), whatever query and key say.",
    )  # fmt: skip


def test_keys_of_zero_give_the_average_value(solution):
    model, x = attention(solution), draw("x", B, T, C)
    with torch.no_grad():
        model.key.weight.zero_()
        model.key.bias.zero_()
    assert_close(
        model(x), model.value(x).mean(1, keepdim=True).expand(B, T, C), "the output when self.key gives zeros",
        because="All scores are then 0 and every token gets the average of all values. If not, self.key is not what makes the keys, or a token does not see all others.",
    )  # fmt: skip


def test_queries_of_zero_give_the_average_value(solution):
    model, x = attention(solution), draw("x", B, T, C)
    with torch.no_grad():
        model.query.weight.zero_()
        model.query.bias.zero_()
    assert_close(
        model(x), model.value(x).mean(1, keepdim=True).expand(B, T, C), "the output when self.query gives zeros",
        because="All scores are then 0 and every token gets the average of all values. If not, self.query is not what makes the queries.",
    )  # fmt: skip


def test_a_query_bias_alone_makes_all_tokens_ask_the_same(solution):
    model, x = attention(solution), draw("x", B, T, C)
    with torch.no_grad():
        model.query.weight.zero_()
        out = model(x)
    assert_close(
        out, out[:, :1].expand(B, T, C), "the output of a token, compared with token 0's, when every token asks the same,",
        because="self.query then gives each token the same query, so all outputs agree. Yours differ: query and key are swapped.",
    )  # fmt: skip


def test_the_output_equals_torchs_own_attention(solution):
    model, x = attention(solution), draw("x", B, T, C)
    expected = F.scaled_dot_product_attention(model.query(x), model.key(x), model.value(x), scale=1.0)
    assert_close(
        model(x), expected, "the output of SelfAttention",
        because="It is attention over self.query(x), self.key(x), self.value(x), unscaled, one head, every token seeing every token.",
    )  # fmt: skip


def test_the_output_equals_the_references_step_by_step(solution, reference):
    mine, theirs = twins(solution.SelfAttention, reference.SelfAttention, CONFIG, gain=1.0)
    assert_same_module(mine, theirs, draw("x", B, T, C), what="the output of SelfAttention")


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(attention(solution), draw("x", B, T, C), what="SelfAttention")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(attention(solution), draw("x", B, T, C), what="the output", other=draw("y", B, T, C))


def test_every_parameter_gets_a_gradient(solution):
    model = attention(solution)
    (model(draw("x", B, T, C)) * draw("direction", B, T, C)).sum().backward()
    # Adding one number to all scores of a row changes no weight, so key.bias has no gradient beyond rounding.
    model.key.bias.grad = torch.ones(C) if model.key.bias.grad is not None else None
    assert_gradients(model, "the output")


def test_it_works_in_double_precision(solution):
    assert_keeps_dtype(attention(solution), draw("x", B, T, C), what="the output")


def test_it_moves_to_another_device(solution):
    assert_moves(attention(solution), draw("x", B, T, C), what="SelfAttention")
