"""Problem 15, part 2: what filter_logits promises, from cause to consequence.

Shapes: B batch, V vocab_size.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_shape,
    assert_tensor,
    draw,
    fail,
    observe,
)
from common.testing.generation import INF, V, logs, rows
from common.testing.modules import OVERWRITTEN

B = 3
AXES = {"V": V}


def some_logits():
    return draw("logits", B=B, V=V)


def filtered(solution, logits, **options):
    """What filter_logits makes of some logits, seen whole by a diagnosis, whatever the check asks of it."""
    out = assert_tensor(solution.filter_logits(logits, **options), "the result of filter_logits")
    assert_shape(
        out, tuple(logits.shape), "the result of filter_logits",
        because="Each token of each row keeps its place, and a logit: a removed token's is -inf.",
    )  # fmt: skip
    observe(f"filter_logits with {options}", out)
    return out


def assert_left(solution, logits, tokens, what, because, **options):
    """Check which tokens are left in each row: those whose logit is not -inf."""
    out = filtered(solution, logits, **options)
    if bool(out.isnan().any()):
        fail(f"{what} there is a NaN:", expected="a number, or -inf", got="nan", because=because)
    left = [[i for i, x in enumerate(row) if x != -INF] for row in out.tolist()]
    assert_equal(left, tokens, f"{what} the list of tokens that are left in each row", because=because)


def cut(logits, removed, temperature=1.0):
    return (logits / temperature).masked_fill(removed, -INF)


# --- what comes out, and what stays as it was ----------------------------------------------------

EACH = [{}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.5}]


@pytest.mark.parametrize("options", EACH, ids=str)
def test_a_filter_gives_a_logit_for_every_token(solution, options):
    filtered(solution, some_logits(), **options)


@pytest.mark.parametrize("options", EACH, ids=str)
def test_the_logits_are_left_as_they_were(solution, options):
    logits = some_logits()
    before = logits.clone()
    filtered(solution, logits, **options)
    what = f"after filter_logits with {options or 'no options'}, the caller's logits"
    assert_identical(logits, before, what, because=OVERWRITTEN)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16], ids=str)
def test_the_logits_keep_their_precision(solution, dtype):
    logits = logs([0.1, 0.4, 0.2, 0.3]).to(dtype)
    says = "The result has the dtype of the logits. Another one comes in with a cast such as .float(), or a tensor "
    says += "that torch.full or torch.zeros makes without a dtype; full_like takes that of the logits. -1e9 is beyond "
    says += "float16; -inf is not, where it is filled in: multiplied with 0 it is NaN."
    try:
        out = filtered(solution, logits, temperature=0.5, top_k=3, top_p=0.8)
    except RuntimeError as error:
        observe("the error", str(error))
        got = f"RuntimeError: {error}".partition("\n")[0]
        fail(f"filter_logits fails for logits in {dtype}:", expected=f"a result in {dtype}", got=got, because=says)
    assert_equal(str(out.dtype), str(dtype), f"the dtype of filter_logits for logits in {dtype}", because=says)
    assert_left(
        solution, logits, [[1, 3]], f"for logits in {dtype}, temperature=0.5, top_k=3 and top_p=0.8,", says,
        temperature=0.5, top_k=3, top_p=0.8,
    )  # fmt: skip


def test_without_options_the_logits_stay_as_they_are(solution):
    says = "With temperature 1, no top_k and no top_p nothing is left to do; they are logits, and no probabilities."
    assert_close(filtered(solution, some_logits()), some_logits(), "filter_logits(logits)", because=says)


# --- the temperature -----------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_the_temperature_divides_the_logits(solution, temperature):
    logits = some_logits()
    out = filtered(solution, logits, temperature=temperature)
    says = "It is logits / temperature: a low temperature makes differences larger, a high one makes them smaller."
    assert_close(out, logits / temperature, f"filter_logits(logits, temperature={temperature})", because=says)


# --- top_k ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4])
def test_top_k_keeps_the_k_largest_of_each_row(solution, k):
    logits = some_logits()
    largest = [sorted(row.topk(k).indices.tolist()) for row in logits]
    says = f"Each row keeps its own {k} largest logits, in their places, and all others become exactly -inf."
    assert_left(solution, logits, largest, f"for top_k={k},", says, top_k=k)


def test_what_top_k_keeps_is_not_changed(solution):
    logits = some_logits()
    expected = cut(logits, logits < logits.topk(4).values[:, -1:], 2.0)
    says = "What is kept is logits / temperature, what is removed -inf."
    out = filtered(solution, logits, temperature=2.0, top_k=4)
    assert_close(out, expected, "filter_logits(logits, temperature=2, top_k=4)", because=says)


def test_ties_with_the_kth_logit_stay(solution):
    logits = rows([1.0, 3.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0, -1.0])
    says = "What equals the k-th largest stays with it, so more than k may be left: values are compared, not places."
    what = "for top_k=2 and logits (1, 3, 2, 2, 0) and (5, 5, 5, 5, -1),"
    assert_left(solution, logits, [[1, 2, 3], [0, 1, 2, 3]], what, says, top_k=2)


@pytest.mark.parametrize("k", [V, V + 1, 50])
def test_a_top_k_of_v_or_more_keeps_all(solution, k):
    says = f"There are {V} logits, and a top_k above that keeps all of them; torch.topk refuses such a k."
    call = f"filter_logits of {V} logits with top_k={k}"
    try:
        out = filtered(solution, some_logits(), top_k=k)
    except (RuntimeError, IndexError) as error:
        observe(call, str(error))
        got = f"{type(error).__name__}: {error}".partition("\n")[0]
        fail(f"{call} fails:", expected="all logits, as they are", got=got, because=says)
    assert_close(out, some_logits(), call, because=says)


# --- top_p ---------------------------------------------------------------------------------------

FOUR = [0.15, 0.5, 0.05, 0.3]  # adding up from the most likely: 0.5, 0.8, 0.95, 1


@pytest.mark.parametrize(("p", "tokens"), [(0.4, [1]), (0.7, [1, 3]), (0.9, [0, 1, 3]), (0.97, [0, 1, 2, 3])])
def test_top_p_keeps_the_smallest_set_that_reaches_p(solution, p, tokens):
    says = f"From the most likely on the probabilities add up to 0.5, 0.8, 0.95 and 1: {len(tokens)} of them are "
    says += f"needed to reach {p}, the one that crosses it included."
    assert_left(solution, logs(FOUR), [tokens], f"for probabilities {tuple(FOUR)} and top_p={p},", says, top_p=p)


@pytest.mark.parametrize("shift", [3.0, -3.0])
def test_top_p_adds_up_probabilities_whatever_is_added_to_the_logits(solution, shift):
    says = "A constant on all logits changes no probability, and it is softmax(logits) that is added up."
    what = f"for probabilities {tuple(FOUR)} and top_p=0.7, with {shift} added to all logits,"
    assert_left(solution, logs(FOUR) + shift, [[1, 3]], what, says, top_p=0.7)


def test_each_row_has_its_own_nucleus(solution):
    together = logs(FOUR, [0.02, 0.03, 0.91, 0.04], [0.33, 0.17, 0.27, 0.23])
    says = "Each row is sorted, added up and cut by itself, along the vocabulary, and goes back to its places by its "
    says += "own order."
    assert_left(solution, together, [[0, 1, 3], [2], [0, 2, 3]], "for three rows and top_p=0.81,", says, top_p=0.81)


@pytest.mark.parametrize(("p", "tokens"), [(0.9, [0, 1, 2]), (0.78, [0, 1])])
def test_top_p_looks_at_what_the_temperature_made(solution, p, tokens):
    logits = 2 * logs([0.5, 0.3, 0.15, 0.05])
    says = "The temperature comes first: top_p adds up softmax(logits / temperature), here 0.5, 0.3, 0.15 and 0.05."
    assert_left(solution, logits, [tokens], f"for temperature=2.0 and top_p={p},", says, temperature=2.0, top_p=p)


BOTH = [(2, 0.5, [1], "4/7 and 3/7"), (3, 0.75, [1, 3], "4/9, 3/9 and 2/9")]


@pytest.mark.parametrize(("k", "p", "tokens", "left"), BOTH)
def test_top_p_looks_at_what_top_k_left(solution, k, p, tokens, left):
    says = f"top_k comes first, and top_p adds up the softmax of what it leaves, which is {left} here."
    what = f"for probabilities (0.1, 0.4, 0.2, 0.3), top_k={k} and top_p={p},"
    assert_left(solution, logs([0.1, 0.4, 0.2, 0.3]), [tokens], what, says, top_k=k, top_p=p)


def test_what_top_p_keeps_is_not_changed(solution):
    logits = some_logits()
    probs, order = (logits / 2).softmax(-1).sort(-1, descending=True)
    removed = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order, probs.cumsum(-1) - probs >= 0.6)
    says = "What is kept is logits / temperature, each in its own token's place, and what is removed -inf."
    out = filtered(solution, logits, temperature=2.0, top_p=0.6)
    assert_close(out, cut(logits, removed, 2.0), "filter_logits(logits, temperature=2, top_p=0.6)", because=says)


def test_a_top_p_of_one_keeps_all(solution):
    logits = logs(FOUR, [0.25, 0.3, 0.35, 0.1])
    says = "1.0 is a fair value for top_p: all tokens together are needed to reach it."
    try:
        out = filtered(solution, logits, top_p=1.0)
    except ValueError as error:
        observe("with top_p=1.0", str(error))
        fail("filter_logits(logits, top_p=1.0) fails:", expected="all logits", got=f"ValueError: {error}", because=says)
    assert_close(out, logits, "filter_logits(logits, top_p=1.0)", because=says)


# --- minus infinity, and values that make no sense -----------------------------------------------

WITH_INF = [{}, {"temperature": 0.7}, {"top_k": 2}, {"top_k": 4}, {"top_p": 0.6}, {"top_k": 3, "top_p": 0.95}]


@pytest.mark.parametrize("options", WITH_INF, ids=str)
def test_a_logit_of_minus_infinity_stays_removed(solution, options):
    logits = rows([-INF, 2.0, -INF, 1.9, -INF])
    says = "A logit of -inf is a token that cannot come, and stays at -inf. -inf - (-inf) and 0 * inf are NaN."
    call = f"filter_logits of (-inf, 2, -inf, 1.9, -inf) with {options or 'no options'}"
    out = filtered(solution, logits, **options)
    assert_close(out, logits / options.get("temperature", 1.0), call, because=says)


LIMITS = {"temperature": "above 0 in filter_logits", "top_k": "at least 1", "top_p": "above 0 and at most 1"}
REFUSED = [
    ({"temperature": 0}, "0"), ({"temperature": 0.0}, "0"), ({"temperature": -0.5}, "-0.5"), ({"top_k": 0}, "0"),
    ({"top_k": -3}, "-3"), ({"top_p": 0.0}, "0"), ({"top_p": -0.25}, "-0.25"), ({"top_p": 1.5}, "1.5"),
]  # fmt: skip


@pytest.mark.parametrize(("options", "named"), REFUSED, ids=str)
def test_a_value_that_makes_no_sense_is_refused(solution, options, named):
    ((name, value),) = options.items()
    says = f"{name} is {LIMITS[name]}, and the message names what came instead."
    if value == 0 and name != "temperature":
        says = f"{name} is {LIMITS[name]}. 0 counts as false, but it is a value, and only None is none."
    with assert_raises(ValueError, f"filter_logits(logits, {name}={value})", naming=[named], because=says):
        observe(f"{options} gives", str(solution.filter_logits(some_logits(), **options)))
