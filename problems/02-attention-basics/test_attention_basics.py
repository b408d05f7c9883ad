"""Problem 02: what dot_product_attention and SelfAttention promise, from cause to consequence.

Shapes: B batch, T tokens that ask, S tokens that are asked, C n_embd, D and E channels.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_gradients,
    assert_identical,
    assert_input_untouched,
    assert_keeps_dtype,
    assert_moves,
    assert_parameters,
    assert_repeatable,
    assert_rows_independent,
    assert_same_module,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fail,
    fill,
    observe,
    tiny,
    twins,
)

CONFIG = tiny()
B, T, S, D, E, C = 2, 3, 5, 7, 9, CONFIG.n_embd


def inputs(*lead):
    return draw("query", *lead, T, D), draw("key", *lead, S, D), draw("value", *lead, S, E)


def factors(tokens, keys, channels):
    """What people multiply the scores with, by name."""
    return {
        "divided by sqrt(D), which is the next problem": channels**-0.5,
        "divided by D, the number of channels": 1 / channels,
        "divided by sqrt(T), the number of queries": tokens**-0.5,
        "divided by sqrt(S), the number of keys": keys**-0.5,
        "divided by S, the number of keys": 1 / keys,
        "multiplied by sqrt(D)": channels**0.5,
        "divided by sqrt(D // n_head)": (channels // CONFIG.n_head) ** -0.5,
        "of the opposite sign": -1.0,
    }


def times(actual, expected):
    """In a sentence, by what number the result is off, if by one number."""
    factor = float((actual * expected).sum() / expected.square().sum())
    return f" Yours is {factor:.3g} times that." if torch.allclose(actual, factor * expected, rtol=1e-3, atol=1e-4) else ""


class Both(nn.Module):
    """dot_product_attention as a module that returns output and weights side by side."""

    def __init__(self, solution):
        super().__init__()
        self.attend = solution.dot_product_attention

    def forward(self, query, key, value):
        output, weights = self.attend(query, key, value)
        return torch.cat([output, weights], dim=-1)


# --- dot_product_attention -----------------------------------------------------------------------


def test_it_returns_output_and_weights(solution):
    result = solution.dot_product_attention(*inputs(B))
    kind = tuple(r.shape for r in result) if isinstance(result, tuple | list) else type(result).__name__
    observe("what dot_product_attention returns", str(kind))
    if not isinstance(result, tuple | list) or len(result) != 2:
        fail(
            "dot_product_attention should return two tensors:", expected="output, weights",
            got=f"a {type(result).__name__}" if result is not None else "None",
            because="It ends without a return." if result is None else "Return both, the output first: `return output, weights`.",
        )  # fmt: skip
    output, weights = (assert_tensor(r, f"the {n} result") for r, n in zip(result, ("first", "second"), strict=True))
    swapped = weights.shape == (B, T, E) and output.shape == (B, T, S)
    other = " Yours come in the other order." if swapped else ""
    assert_shape(
        weights, (B, T, S), f"the weights, the second result for {T} queries and {S} keys,",
        because="One row for each query, one column for each key: the scores are query @ key transposed. Output comes first, weights second." + other,
    )  # fmt: skip
    assert_shape(
        output, (B, T, E), f"the output, the first result for values with {E} channels,",
        because="Each query gets one mixed value: weights @ value has as many rows as queries and as many channels as the values.",
    )  # fmt: skip


def test_the_function_leaves_its_inputs_alone(solution):
    assert_input_untouched(Both(solution), *inputs(B), what="dot_product_attention")


def test_the_function_is_repeatable(solution):
    assert_repeatable(Both(solution), *inputs(B), what="the result of dot_product_attention")


def test_weights_are_positive_and_each_row_sums_to_one(solution):
    _, weights = solution.dot_product_attention(*inputs(B))
    assert_true(
        not bool(weights.isnan().any()), "some weights are NaN",
        because="Something is divided by zero: the sum of a row of exp(scores) is never 0, but that of other numbers may be.",
    )  # fmt: skip
    assert_true(
        bool((weights >= 0).all()), "some weights are negative",
        because="Weights are a softmax of the scores, which is never negative. Raw scores are, and the logarithms of log_softmax.",
    )  # fmt: skip
    over = {
        "your columns sum to 1, so yours runs over the queries": weights.sum(-2),
        "yours runs over the texts of the batch": weights.sum(0),
        "all weights of a text together sum to 1 in yours": weights.sum((-2, -1)),
        "all weights of the whole batch together sum to 1 in yours": weights.sum(),
    }
    found = next((f": {name}." for name, total in over.items() if bool(((total - 1).abs() < 1e-4).all())), ".")
    assert_close(
        weights.sum(-1), torch.ones(B, T, device=weights.device), "the sum of a row of weights",
        because="Each query shares out one unit of attention over the keys: softmax divides exp(scores) by their sum over the last axis, "
        "dim=-1, and no weight is changed after that" + found,
    )  # fmt: skip


def test_equal_keys_share_the_attention_equally(solution):
    query, _, value = inputs(B)
    key = draw("one key", 1, 1, D).repeat(B, S, 1)
    _, weights = solution.dot_product_attention(query, key, value)
    assert_close(
        weights, torch.full((B, T, S), 1 / S, device=weights.device), "a weight when all keys are the same",
        because="Keys that answer equally well get the same weight, 1 / S: a weight follows from the key's score and not from its place.",
    )  # fmt: skip


def test_equal_weights_give_the_average_of_the_values(solution):
    query, _, value = inputs(B)
    key = draw("one key", 1, 1, D).repeat(B, S, 1)
    output, _ = solution.dot_product_attention(query, key, value)
    average = value.mean(-2, keepdim=True).expand(B, T, E)
    assert_close(
        output, average, "the output when all keys are the same",
        because="Each value has the weight 1 / S, so the output is their plain average: weights @ value and nothing more." + times(output, average),
    )  # fmt: skip


def test_the_key_that_answers_best_gets_the_attention(solution):
    # Queries and keys along the axes: query t fits key best[t] with a score of 50, all others with 0.
    axes, best = torch.eye(D), torch.tensor([[4, 0, 2], [1, 3, 4]])
    key = axes[[6, 3, 0, 5, 2]].repeat(B, 1, 1)
    query = torch.stack([50 * key[b, best[b]] for b in range(B)])
    query, key, value = (t.to(draw("x", 1).device) for t in (query, key, draw("value", B, S, E)))
    _, weights = solution.dot_product_attention(query, key, value)
    assert_shape(weights, (B, T, S), "the weights")
    assert_equal(
        weights.argmax(-1).tolist(), best.tolist(), "the list of the keys with the largest weight, query by query,",
        because="Score [t, s] is query t times key s. Swap the key's last two axes with .mT or .transpose(-2, -1); reshape and view re-cut the memory instead.",
    )  # fmt: skip


def test_scores_are_plain_dot_products(solution):
    query, key, value = inputs(B)
    _, weights = solution.dot_product_attention(query, key, value)
    observe("the weights", weights)
    scores = (query.unsqueeze(-2) * key.unsqueeze(-3)).sum(-1)
    measured = (weights.log() - weights.log()[..., :1])[..., 1:]
    expected = (scores - scores[..., :1])[..., 1:]
    factor = float((measured * expected).sum() / expected.square().sum())
    if torch.allclose(measured, factor * expected, rtol=1e-2, atol=1e-3):
        name = next((f": they are {name}" for name, f in factors(T, S, D).items() if abs(factor / f - 1) < 1e-3), "")
        yours = f"yours are {factor:.3g} times that{name}."
    else:
        yours = "yours are not in proportion to it: they come from other pairs, or from another formula than a dot product."
    assert_close(
        measured, expected, "the difference of two scores, read back from the weights,",
        because=f"Score [t, s] is the dot product of query t and key s, without any scale here; {yours}",
        atol=1e-4, rtol=1e-4,  # the logarithm of a small weight magnifies float32's rounding
    )  # fmt: skip


def test_the_output_mixes_the_values_by_the_weights(solution):
    query, key, value = inputs(B)
    output, weights = solution.dot_product_attention(query, key, value)
    assert_close(
        output, weights @ value, "the output, compared with your own weights @ value,",
        because="Row t of the output is the sum of weights[t, s] * value[s]: use the weights as they are returned, after the softmax.",
    )  # fmt: skip


@pytest.mark.parametrize("lead", [(), (B, 4), (1, 1)], ids=["none", "B and 4", "1 and 1"])
def test_any_leading_axes_are_kept(solution, lead):
    query, key, value = inputs(*lead)
    because = (
        "Only the last two axes take part; all before them is batch. Count from the end, key.transpose(-2, -1) and dim=-1, and multiply "
        "with @: transpose(1, 2), dim=1 or 2, torch.bmm and einsum('btd,...') fit three axes only."
    )
    try:
        output, weights = solution.dot_product_attention(query, key, value)
    except (RuntimeError, IndexError, ValueError) as error:
        if isinstance(error, NotImplementedError):
            raise
        observe("refused", str(error))
        fail(
            f"dot_product_attention cannot take a query of shape {tuple(query.shape)}:", expected=f"weights of shape {(*lead, T, S)}",
            got=f"{type(error).__name__}: {str(error).splitlines()[0]}", because=because,
        )  # fmt: skip
    expected = torch.softmax(query @ key.transpose(-2, -1), -1)
    assert_close(weights, expected, f"the weights for a query of shape {tuple(query.shape)}", because=because)
    assert_close(output, expected @ value, f"the output for a query of shape {tuple(query.shape)}", because=because)


def test_large_scores_do_not_overflow(solution):
    query, key, value = inputs(B)
    output, weights = solution.dot_product_attention(50 * query, 50 * key, value)
    observe("the weights for large scores", weights)
    assert_true(
        bool(weights.isfinite().all()) and bool(output.isfinite().all()), "the result is NaN or infinite when scores are in the thousands",
        because="exp overflows above 88 in float32, and inf / inf is NaN: use torch.softmax, or subtract each row's own maximum before exp.",
    )  # fmt: skip


def test_inputs_that_are_not_contiguous_give_the_same(solution):
    both = Both(solution)
    plain = inputs(B)
    strided = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in plain]
    assert_close(
        both(*strided), both(*plain), "the result of dot_product_attention for non-contiguous inputs",
        because="The same numbers in another memory layout: use reshape where view asks for contiguous memory.",
    )  # fmt: skip


def test_the_function_works_in_double_precision(solution):
    query, key, value = inputs(B)
    both = Both(solution)
    observe("the result", both(query, key, value))
    assert_keeps_dtype(both, query, key, value, what="the result of dot_product_attention")
    _, weights = solution.dot_product_attention(query.double(), key.double(), value.double())
    assert_equal(str(weights.dtype), "torch.float64", "the dtype of the weights for inputs in torch.float64")


def test_the_function_works_on_another_device(solution):
    both = Both(solution)
    observe("the result", both(*inputs(B)))
    assert_moves(both, *inputs(B), what="dot_product_attention")


# --- SelfAttention: its parts --------------------------------------------------------------------


def remember(solution):
    """Note what function and class give, so that a check's failure is never taken for another mistake's."""
    for what, call in (
        ("the function", lambda: Both(solution)(*inputs(B))),
        ("the parameters", lambda: [(n, tuple(p.shape)) for n, p in solution.SelfAttention(CONFIG).named_parameters()]),
        ("the class", lambda: fill(solution.SelfAttention(CONFIG), gain=1.0)(draw("plain", B, 4, C))),
    ):
        try:
            seen = call()
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
        observe(what, seen if isinstance(seen, torch.Tensor | str | list) else type(seen).__name__)


def attention(solution):
    remember(solution)
    return fill(solution.SelfAttention(CONFIG), gain=1.0)


def test_the_projections_have_their_names_and_shapes(solution):
    model = solution.SelfAttention(CONFIG)
    assert_parameters(
        model,
        {f"{name}.{kind}": shape for name in ("query", "key", "value") for kind, shape in (("weight", (C, C)), ("bias", (C,)))},
        "SelfAttention",
        because="Three layers, self.query, self.key and self.value, each nn.Linear(n_embd, n_embd) with its bias (bias=False leaves it out), and no other.",
    )  # fmt: skip
    weights = [model.query.weight, model.key.weight, model.value.weight]
    assert_equal(
        len({id(w) for w in weights}), 3, "the number of different weights among query, key and value",
        because="Two of the names stand for one and the same layer: make three, each learns something of its own.",
    )  # fmt: skip


@pytest.mark.parametrize(("batch", "length"), [(B, T), (B, 1), (1, T), (B, CONFIG.n_positions)])
def test_the_output_has_the_shape_of_the_input(solution, batch, length):
    out = attention(solution)(draw("x", batch, length, C))
    if isinstance(out, tuple | list):
        observe("the type of the output", type(out).__name__)
        fail(
            "SelfAttention should return one tensor:", expected="the output, a tensor", got=f"a {type(out).__name__} of {len(out)}",
            because="dot_product_attention gives a pair; forward returns the output alone, as the next layer expects one tensor.",
        )  # fmt: skip
    shapes = {
        (batch, length, length): "These look like the weights: forward returns the output.",
        (batch, C): "The token axis is gone: every token keeps a vector of its own.",
        (length, C): "The batch axis is gone.",
        (batch, C, length): "The last two axes have changed places.",
    }
    shape = tuple(assert_tensor(out, "the output of SelfAttention").shape)
    assert_shape(out, (batch, length, C), "the output of SelfAttention", because=shapes.get(shape, "Each token gets a vector of n_embd numbers."))


def test_the_input_is_left_as_it_was(solution):
    assert_input_untouched(attention(solution), draw("x", B, T, C), what="SelfAttention")


def test_eval_mode_is_repeatable(solution):
    assert_repeatable(attention(solution), draw("x", B, T, C), what="the output of SelfAttention")


def test_the_rows_of_a_batch_do_not_mix(solution):
    assert_rows_independent(attention(solution), draw("x", B, T, C), what="the output of SelfAttention", other=draw("y", B, T, C))


# --- SelfAttention: one projection at a time -----------------------------------------------------


def silence(layer, *, bias=True):
    """Set a layer's weight, and its bias too unless told otherwise, to zero."""
    with torch.no_grad():
        for name, p in layer.named_parameters():
            if bias or name == "weight":
                p.zero_()


def test_a_single_token_gets_its_own_value(solution):
    model, x = attention(solution), draw("x", B, 1, C)
    out = model(x)
    wrong = {
        "x itself": x,
        "self.query(x)": model.query(x),
        "self.key(x)": model.key(x),
        "x + self.value(x); the residual comes in problem 07": x + model.value(x),
        "self.value(x) without its bias": F.linear(x, model.value.weight),
        "made with a transposed weight; call self.value(x)": x @ model.value.weight + model.value.bias,
        "self.value of a normalised x; norms come in problem 07": model.value(F.layer_norm(x, (C,))),
        "NaN: it may not even look at itself": torch.full_like(x, torch.nan),
    }
    found = next((f" Yours is {name}." for name, o in wrong.items() if torch.allclose(out, o, atol=1e-4, equal_nan=True)), "")
    assert_close(
        out, model.value(x), "the output for a single token",
        because="One token can only attend to itself, with weight 1, so its output is self.value(x)." + (found or times(out, model.value(x))),
    )  # fmt: skip


def test_weights_that_sum_to_one_keep_a_value_that_all_share(solution):
    model, x = attention(solution), draw("x", B, T, C)
    silence(model.value, bias=False)
    out = model(x)
    assert_close(
        out, model.value.bias.expand(B, T, C), "the output when every token has the same value",
        because="A token's weights sum to 1, so the output is that value again. Softmax must run over the keys, dim=-1, and the table of weights "
        "(rows are queries) must meet the values as it is, neither transposed nor scaled." + times(out, model.value.bias.expand(B, T, C)),
    )  # fmt: skip


@pytest.mark.parametrize("silent", ["key", "query"])
def test_without_keys_or_queries_every_token_gets_the_average_value(solution, silent):
    model, x = attention(solution), draw("x", B, T, C)
    silence(getattr(model, silent))
    out = model(x)
    average = model.value(x).mean(1, keepdim=True).expand(B, T, C)
    running = model.value(x).cumsum(1) / torch.arange(1, T + 1, device=x.device).view(T, 1)
    if torch.allclose(out, running, atol=1e-4):
        found = "In yours a token averages only itself and those before it: a causal mask, which comes in problem 05."
    else:
        found = f"If not, self.{silent} does not make all of the {'keys' if silent == 'key' else 'queries'}, or a token does not see all others."
    assert_close(
        out, average, f"the output when self.{silent} gives zeros",
        because=f"All scores are then 0, and every token gets the average of all values. {found}",
    )  # fmt: skip


def test_tokens_that_ask_the_same_get_the_same(solution):
    model, x = attention(solution), draw("x", B, T, C)
    silence(model.query, bias=False)
    out = model(x)
    assert_close(
        out, out[:, :1].expand(B, T, C), "the output of a token, compared with token 0's, when self.query gives all tokens one query,",
        because="Then all rows of the table of scores agree. Yours do not: query and key are swapped, in the call or in the product.",
    )  # fmt: skip


def test_the_output_equals_torchs_own_attention(solution):
    model, x = attention(solution), draw("x", B, T, C)
    q, k, v = model.query(x), model.key(x), model.value(x)
    out = model(x)
    like = {f"scores are {name}": F.scaled_dot_product_attention(q, k, v, scale=f) for name, f in factors(T, T, C).items()}
    found = next((f" In yours {name}." for name, o in like.items() if torch.allclose(out, o, atol=1e-4)), "")
    assert_close(
        out, F.scaled_dot_product_attention(q, k, v, scale=1.0), "the output of SelfAttention",
        because="It is attention over self.query(x), self.key(x) and self.value(x): one head, no scale, no mask." + found,
    )  # fmt: skip


def test_the_output_equals_the_references_step_by_step(solution, reference):
    remember(solution)
    mine, theirs = twins(solution.SelfAttention, reference.SelfAttention, CONFIG, gain=1.0)
    assert_same_module(
        mine, theirs, draw("x", B, T, C), what="the output of SelfAttention",
        because="With the same parameters the reference gives the expected value.",
    )  # fmt: skip


# --- manners -------------------------------------------------------------------------------------


def test_train_mode_gives_the_same(solution):
    model, x = attention(solution), draw("x", B, T, C)
    quiet = model(x)
    assert_identical(
        model.train()(x), quiet, "the output of SelfAttention, in train mode instead of eval mode,",
        because="Nothing here depends on the mode: dropout joins attention in problem 04.",
    )  # fmt: skip


def test_an_input_that_is_not_contiguous_gives_the_same(solution):
    model, x = attention(solution), draw("x", B, T, C)
    assert_close(
        model(x.transpose(0, 1).contiguous().transpose(0, 1)), model(x), "the output of SelfAttention for a non-contiguous input",
        because="The same numbers in another memory layout: use reshape where view asks for contiguous memory.",
    )  # fmt: skip


def test_every_parameter_gets_a_gradient(solution):
    model = attention(solution)
    out = assert_tensor(model(draw("x", B, T, C)), "the output of SelfAttention")
    observe("the output", out)
    assert_true(
        out.requires_grad, "the output has no gradient: nothing can be learned from it",
        because="The way from the parameters to the output is cut, by torch.no_grad(), detach() or .data.",
    )  # fmt: skip
    (out * draw("direction", B, T, C)).sum().backward()
    # One number added to all scores of a row changes no weight, so key.bias cannot matter, and need not learn.
    model.key.bias.grad = torch.ones_like(model.key.bias)
    assert_gradients(model, "the output")


def test_it_works_in_double_precision(solution):
    model, x = attention(solution), draw("x", B, T, C)
    observe("the output", model(x))
    assert_keeps_dtype(model, x, what="the output of SelfAttention")


def test_it_moves_to_another_device(solution):
    model, x = attention(solution), draw("x", B, T, C)
    observe("the output", model(x))
    assert_moves(model, x, what="SelfAttention")
