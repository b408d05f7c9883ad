"""Interview 05, first part: what sampling_probabilities promises, from cause to consequence.

Shapes: B batch, V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_shape,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere
from common.testing.modules import OVERWRITTEN

AXES = {"B": 3, "V": 13}
B, V = AXES.values()
INF = float("inf")
OPTIONS = [{}, {"temperature": 0.5}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.5}]
every_option = pytest.mark.parametrize("options", OPTIONS, ids=str)


def rows(*values):
    """A float tensor on the checks' device."""
    return torch.tensor(values, device=draw("d", 1).device)


def logs(*values):
    """Logits whose softmax is the values given."""
    return rows(*values).log()


def some_logits():
    return draw("logits", B=B, V=V)


def probabilities(solution, logits, **options):
    """What sampling_probabilities gives, seen whole by a diagnosis, whatever the check asks of it."""
    given = f"sampling_probabilities(logits{''.join(f', {name}={value}' for name, value in options.items())})"
    probs = solution.sampling_probabilities(logits, **options)
    assert_shape(
        probs, tuple(logits.shape), given,
        because="There is one probability for each token of each row: the shape of the logits.",
    )
    observe(given, probs)
    return probs


def kept(probs):
    """Which tokens have any probability, row by row."""
    return [[i for i, p in enumerate(row) if p > 0] for row in probs.tolist()]


# --- what it returns, and what it leaves alone ---------------------------------------------------


@every_option
def test_there_is_a_probability_for_every_token(solution, options):
    probs = probabilities(solution, some_logits(), **options)
    assert_true(
        probs.is_floating_point(), f"the probabilities for {options or 'no options'} are of type {probs.dtype}",
        because="Probabilities are float, the ones and zeros of the greedy choice included.",
    )


@every_option
def test_the_logits_are_left_as_they_were(solution, options):
    logits = some_logits()
    before = logits.clone()
    solution.sampling_probabilities(logits, **options)
    assert_identical(
        logits, before, f"after a call with {options or 'no options'}, the caller's logits",
        because=OVERWRITTEN,
    )


@every_option
def test_each_row_sums_to_one(solution, options):
    probs = probabilities(solution, some_logits(), **options)
    assert_close(
        probs.sum(dim=-1).float(), torch.ones_like(probs[:, 0]).float(),
        f"the sum of each row of probabilities, with {options or 'no options'},",
        because="The next token is one of the V: whatever was removed, those that are left share all of the "
        "probability.",
    )


@pytest.mark.parametrize(
    ("dtype", "atol"), [(torch.float64, 1e-6), (torch.float16, 0.01), (torch.bfloat16, 0.02)], ids=str
)
def test_logits_may_be_of_another_float_type(solution, dtype, atol):
    for options in ({}, {"temperature": 0.5}, {"top_k": 4}, {"top_p": 0.7}):
        logits = logs([0.15, 0.5, 0.05, 0.3], [0.02, 0.03, 0.91, 0.04]).repeat(1, 2)
        right = probabilities(solution, logits, **options)
        try:
            probs = probabilities(solution, logits.to(dtype), **options)
        except RuntimeError as error:
            if "overflow" not in str(error):
                raise
            observe("overflow", str(error))
            fail(
                f"logits of {dtype} with {options or 'no options'} cannot be handled: {str(error).splitlines()[0]}",
                because="float16 ends at 65504, so a large number of your own, such as -1e9 in place of -torch.inf, "
                "does not fit.",
            )
        assert_close(
            probs.float(), right.float(),
            f"the probabilities for logits of {dtype} with {options or 'no options'}, compared with your own for "
            "float32,",
            because="In another float type only rounding may differ.", atol=atol, rtol=atol,
        )


@pytest.mark.parametrize("name", ["sampling_probabilities", "sample"])
def test_logits_may_lie_on_another_device(solution, name):
    trouble = ""
    with elsewhere() as send:
        try:
            for options in OPTIONS:
                getattr(solution, name)(send(some_logits()), **options)
        except DevicesDiffer as error:
            trouble = str(error)
    observe("logits on another device", bool(trouble))
    if trouble:
        fail(
            f"{name} does not work on another device:", expected="everything where the logits are",
            got=trouble, because="What is made on the way is made where the logits are: device=logits.device.",
        )


# --- softmax and temperature ---------------------------------------------------------------------


def test_without_options_it_is_the_softmax_of_each_row(solution):
    logits = some_logits()
    assert_close(
        probabilities(solution, logits), logits.softmax(-1), "sampling_probabilities(logits)",
        because="With temperature 1, no top_k and no top_p there is a softmax over the vocabulary, and nothing else.",
    )


def test_large_logits_neither_overflow_nor_vanish(solution):
    logits = 300 * draw("large", B=B, V=V)
    assert_close(
        probabilities(solution, logits), logits.softmax(-1), "the probabilities for logits of several hundred",
        because="exp(89) is more than float32 can hold: softmax subtracts the largest logit of a row first.",
    )


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_the_temperature_divides_the_logits(solution, temperature):
    logits = some_logits()
    assert_close(
        probabilities(solution, logits, temperature=temperature), (logits / temperature).softmax(-1),
        f"the probabilities for temperature={temperature}",
        because="They are softmax(logits / temperature): a high temperature makes the choice more even.",
    )


@pytest.mark.parametrize("options", [{}, {"top_k": 4, "top_p": 0.7}], ids=str)
def test_temperature_zero_is_greedy(solution, options):
    logits = some_logits()
    assert_close(
        probabilities(solution, logits, temperature=0, **options).float(), F.one_hot(logits.argmax(-1), V).float(),
        f"the probabilities for temperature=0 and {options or 'no other options'}", atol=0, rtol=0,
        because="Temperature 0 is a case of its own, as nothing can be divided by it: the largest logit of each row "
        "gets probability 1, and it survives top_k and top_p.",
    )


def test_greedy_takes_the_first_of_equals(solution):
    logits = rows([1.0, 4.0, 4.0, -INF, 4.0], [-INF, -INF, -2.0, -3.0, -2.0])
    assert_close(
        probabilities(solution, logits, temperature=0).float(), rows([0.0, 1, 0, 0, 0], [0.0, 0, 1, 0, 0]),
        "the probabilities for temperature=0 and logits (1, 4, 4, -inf, 4) and (-inf, -inf, -2, -3, -2)",
        because="Of the largest logits the first gets probability 1, and the others 0.", atol=0, rtol=0,
    )


# --- top_k ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4])
def test_top_k_keeps_the_k_largest_of_each_row(solution, k):
    logits = some_logits()
    assert_equal(
        kept(probabilities(solution, logits, top_k=k)), [sorted(row.topk(k).indices.tolist()) for row in logits],
        f"for top_k={k}, the list of tokens with any probability in each row",
        because="Each row keeps what is not below its own k-th largest logit; every other token has exactly 0, which "
        "softmax makes of a logit of -inf.",
    )


def test_the_kth_logit_is_each_rows_own(solution):
    logits = rows([0.0, 1.0, 2.0, 3.0, 4.0], [0.0, 90.0, 30.0, 60.0, 120.0])
    assert_equal(
        kept(probabilities(solution, logits, top_k=2)), [[3, 4], [1, 4]],
        "for top_k=2 and logits (0, 1, 2, 3, 4) and (0, 90, 30, 60, 120), the list of tokens with any probability",
        because="What is kept in a row depends on that row alone: the limit is its own k-th largest logit.",
    )


def test_what_top_k_leaves_is_a_distribution_again(solution):
    logits = some_logits()
    alone = (logits / 2).masked_fill(logits < logits.topk(4).values[:, -1:], -INF)
    assert_close(
        probabilities(solution, logits, top_k=4, temperature=2.0), alone.softmax(-1),
        "the probabilities for top_k=4 and temperature=2",
        because="They are softmax(logits / 2) over the tokens that are kept, whose shares sum to 1.",
    )


def test_ties_with_the_kth_logit_stay(solution):
    logits = rows([1.0, 3.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0, -1.0])
    assert_equal(
        kept(probabilities(solution, logits, top_k=2)), [[1, 2, 3], [0, 1, 2, 3]],
        "for top_k=2 and logits (1, 3, 2, 2, 0) and (5, 5, 5, 5, -1), the list of tokens with any probability",
        because="The k-th largest logit is a threshold, and what equals it stays: logits < kth goes.",
    )


@pytest.mark.parametrize("start", [90000.0, -90000.0])
def test_logits_may_lie_far_from_zero(solution, start):
    probs = probabilities(solution, rows([start, start - 1, start - 3, start - 2]))
    assert_close(
        probs.float(), rows([0.0, -1.0, -3.0, -2.0]).softmax(-1), f"the probabilities of logits around {start:g}",
        because="Only differences between logits matter: exp of a large one is inf and of a very small one 0, and "
        "inf / inf and 0 / 0 are NaN. By hand, a softmax subtracts the largest of each row; torch.softmax does so.",
    )


def test_top_k_works_wherever_the_logits_lie(solution):
    logits = rows([-90000.0, -90001.0, -90003.0, -90002.0])
    assert_equal(
        kept(probabilities(solution, logits, top_k=2)), [[0, 1]],
        "for logits (-90000, -90001, -90003, -90002) and top_k=2, the list of tokens with any probability",
        because="Only differences between logits matter, so a removed one has to become -inf: 0 or -1e4 may lie above "
        "those that are kept.",
    )


@pytest.mark.parametrize("k", [V, V + 1, 50])
def test_top_k_of_the_vocabulary_or_more_keeps_all(solution, k):
    logits = some_logits()
    assert_close(
        probabilities(solution, logits, top_k=k), logits.softmax(-1), f"the probabilities of {V} tokens for top_k={k}",
        because="A top_k of V or above keeps every token.",
    )


# --- top_p ---------------------------------------------------------------------------------------

FOUR = [0.15, 0.5, 0.05, 0.3]  # adding up from the most likely: 0.5, 0.8, 0.95, 1


@pytest.mark.parametrize(("p", "tokens"), [(0.4, [1]), (0.7, [1, 3]), (0.9, [0, 1, 3]), (0.97, [0, 1, 2, 3])])
def test_top_p_keeps_the_smallest_set_that_reaches_p(solution, p, tokens):
    assert_equal(
        kept(probabilities(solution, logs(FOUR), top_p=p))[0], tokens,
        f"for probabilities {(*FOUR,)} and top_p={p}, the list of tokens with any probability",
        because="From the most likely down a token is kept while those before it together are below p, so the one that "
        "crosses p is in, and the first always.",
    )


def test_what_top_p_leaves_is_a_distribution_again(solution):
    assert_close(
        probabilities(solution, logs(FOUR), top_p=0.7), rows([0.0, 0.625, 0.0, 0.375]),
        f"the probabilities for {(*FOUR,)} and top_p=0.7",
        because="0.5 and 0.3 are kept, and divided by their sum, 0.8.",
    )


def test_each_row_has_its_own_nucleus(solution):
    together = logs(FOUR, [0.02, 0.03, 0.91, 0.04], [0.33, 0.17, 0.27, 0.23])
    right = rows([3 / 19, 10 / 19, 0.0, 6 / 19], [0.0, 0.0, 1.0, 0.0], [33 / 83, 0.0, 27 / 83, 23 / 83])
    assert_close(
        probabilities(solution, together, top_p=0.8001), right, "the probabilities of three rows for top_p=0.8001",
        because="Each row is sorted, added up and cut along the vocabulary, and what is left goes back to its own "
        "places.",
    )


def test_top_p_of_one_keeps_even_the_rarest_token(solution):
    logits = rows([0.0, -12.0, -25.0, -1.0, -20.0])
    assert_equal(
        kept(probabilities(solution, logits, top_p=1.0)), [[0, 1, 2, 3, 4]],
        "for logits (0, -12, -25, -1, -20) and top_p=1.0, the list of tokens with any probability",
        because="top_p=1.0 keeps all. In float32 a sum of probabilities reaches 1 before the rarest are added.",
    )


def test_top_p_looks_at_what_the_temperature_made(solution):
    logits = 2 * logs([0.5, 0.3, 0.15, 0.05])
    assert_close(
        probabilities(solution, logits, temperature=2.0, top_p=0.9), rows([10 / 19, 6 / 19, 3 / 19, 0.0]),
        "the probabilities for temperature=2.0 and top_p=0.9, where logits / 2 have the softmax (0.5, 0.3, 0.15, 0.05)",
        because="The temperature comes first, and the nucleus is measured on softmax(logits / temperature).",
    )


@pytest.mark.parametrize(
    ("k", "p", "right"), [(2, 0.5, [0.0, 1.0, 0.0, 0.0]), (3, 0.75, [0.0, 4 / 7, 0.0, 3 / 7])], ids=["2", "3"]
)
def test_top_p_looks_at_what_top_k_left(solution, k, p, right):
    assert_close(
        probabilities(solution, logs([0.1, 0.4, 0.2, 0.3]), top_k=k, top_p=p), rows(right),
        f"the probabilities for (0.1, 0.4, 0.2, 0.3), top_k={k} and top_p={p}",
        because="The nucleus is measured after top_k, on a distribution that sums to 1: (4/7, 3/7) for k = 2, and "
        "(4/9, 3/9, 2/9) for k = 3.",
    )


# --- at the edges --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options", [{}, {"temperature": 0.7}, {"top_k": 2}, {"top_k": 4}, {"top_p": 0.6}, {"top_k": 3, "top_p": 0.95}],
    ids=str,
)
def test_a_logit_of_minus_infinity_has_probability_zero(solution, options):
    logits = rows([-INF, 2.0, -INF, 1.9, -INF])
    right = (logits / options.get("temperature", 1.0)).softmax(-1)
    assert_close(
        probabilities(solution, logits, **options), right,
        f"the probabilities for logits (-inf, 2, -inf, 1.9, -inf) and {options or 'no options'}",
        because="A logit of -inf is a token that cannot come: probability 0, and no NaN, which -inf - (-inf) and "
        "0 * inf are.",
    )


def test_a_single_row_and_a_single_token_are_enough(solution):
    for options in OPTIONS:
        assert_close(
            probabilities(solution, rows([-3.0]), **options).float(), rows([1.0]),
            f"the probabilities for a batch of one and a vocabulary of one, with {options or 'no options'}",
            because="The only token that there is has all of the probability.",
        )


LIMITS = {"temperature": "at least 0", "top_k": "at least 1", "top_p": "above 0 and at most 1"}
BAD = [("temperature", -0.5), ("temperature", -2), ("top_k", 0), ("top_k", -3), ("top_p", 0.0), ("top_p", -0.25)]
BAD += [("top_p", 1.5)]


@pytest.mark.parametrize(("name", "value"), BAD, ids=str)
def test_a_value_that_makes_no_sense_is_refused(solution, name, value):
    because = f"{name} is {LIMITS[name]}, and the message says what came instead. 0 is a value, and not None."
    call = f"sampling_probabilities(logits, {name}={value})"
    with assert_raises(ValueError, call, naming=[f"{value:g}"], because=because):
        solution.sampling_probabilities(some_logits(), **{name: value})


@pytest.mark.parametrize(("name", "value"), [("top_k", 0), ("top_p", 1.5)], ids=str)
def test_it_is_refused_with_a_temperature_of_0_too(solution, name, value):
    because = "All three values are looked at before anything is computed: greedy needs no top_k and no top_p, and yet "
    because += "one that makes no sense is refused."
    call = f"sampling_probabilities(logits, temperature=0, {name}={value})"
    with assert_raises(ValueError, call, naming=[f"{value:g}"], because=because):
        solution.sampling_probabilities(some_logits(), temperature=0, **{name: value})
