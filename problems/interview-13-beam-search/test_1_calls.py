"""Interview 13, first part: what beam_search takes, returns and leaves alone.

The model is a counter with one very likely token in each step, so that every search finds the same. Shapes: B
hypotheses, T tokens, V vocab_size.
"""

import math

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_shape,
    assert_true,
    fail,
    observe,
)
from common.testing.generation import Same, Sum, V, continued
from common.testing.generation import prompt as prompts

AXES = {"T": 5, "V": V}


def prompt(size=5):
    return prompts(1, size)[0]


def searched(solution, model, ids, n_tokens, beam_size, **options):
    """The pair that comes back, and the call for a message."""
    told = "".join(f", {name}={value}" for name, value in options.items())
    what = f"beam_search(model, ids, {n_tokens}, beam_size={beam_size}{told})"
    result = solution.beam_search(model, ids, n_tokens, beam_size, **options)
    if not (isinstance(result, tuple | list) and len(result) == 2):
        observe(what, type(result).__name__)
        fail(
            f"{what} gives no pair:", expected="(ids, score)", got=f"a {type(result).__name__}",
            because="It returns the prompt with its continuation, and the score.",
        )
    return *result, what


@pytest.mark.parametrize(("size", "n"), [(5, 3), (1, 1), (2, 0)], ids=str)
def test_it_returns_the_prompt_with_new_tokens_and_a_score(solution, size, n):
    ids = prompt(size)
    out, score, what = searched(solution, Sum(), ids, n, 3)
    assert_shape(
        out, (size + n,), f"the ids of {what} for {size} tokens",
        because="There is one prompt, (T,), and one text comes back, without eos with n_tokens more behind it.",
    )
    assert_equal(out[:size].tolist(), ids.tolist(), f"the beginning of {what}", because="It begins with the prompt.")
    assert_equal(str(out.dtype), "torch.int64", f"the dtype of {what}", because="Token ids are int64.")
    assert_equal(type(score).__name__, "float", f"the type of the score of {what}", because="It is a Python float.")


def test_no_tokens_have_a_score_of_zero(solution):
    for beam_size, alpha in ((1, 0.0), (3, 1.0)):
        out, score, what = searched(solution, Sum(), prompt(), 0, beam_size, alpha=alpha)
        assert_equal(out.tolist(), prompt().tolist(), f"the ids of {what}", because="It is the prompt, and no more.")
        assert_equal(score, 0.0, f"the score of {what}", because="For n_tokens=0 it is 0.0: nothing is divided by 0.")


@pytest.mark.parametrize("n", [3, 0])
def test_the_prompt_is_left_as_it_was(solution, n):
    ids = prompt()
    before = ids.clone()
    out, *_ = searched(solution, Sum(), ids, n, 2, eos=1)
    assert_identical(ids, before, "after beam_search, the caller's ids", because="The prompt belongs to the caller.")
    with torch.inference_mode():  # in which the result may have been made
        out.fill_(0)
    assert_identical(
        ids, before, "after zeros were written into what beam_search returned, the caller's ids",
        because="The result is a tensor of its own, with n_tokens=0 too.",
    )


def test_no_gradients_are_kept(solution):
    model = Sum()
    searched(solution, model, prompt(), 2, 2)
    assert_true(
        not any(model.graphs), "the model builds a gradient graph during the search",
        because="Nothing is trained here, so it works under torch.no_grad().",
    )
    assert_true(
        torch.is_grad_enabled(), "beam_search leaves gradients switched off",
        because="torch.no_grad() as a decorator or in a with statement ends with the call.",
    )


@pytest.mark.parametrize("beam_size", [1, 3])
def test_each_token_follows_from_all_before_it(solution, beam_size):
    ids = prompt()
    out, _, what = searched(solution, Sum(), ids, 6, beam_size)
    assert_equal(
        out[5:].tolist(), continued(ids[None], 6, 20)[0].tolist(), f"the new tokens of {what}",
        because="One token has nearly all of the probability in each step: it follows from all of the text so far.",
    )


@pytest.mark.parametrize("beam_size", [1, 3])
def test_the_model_is_called_for_the_whole_beam_at_once(solution, beam_size):
    model, n = Sum(sharp=1.0), 4
    searched(solution, model, prompt(), n, beam_size)
    calls, rows = len(model.shapes), max((shape[0] for shape in model.shapes), default=0)
    observe("calls and rows", (calls, rows))
    assert_true(
        calls <= 2 * n and rows <= beam_size + 1,
        f"the model is called {calls} times, with up to {rows} rows, for {n} tokens and beam_size={beam_size}",
        because=f"A step has one batch: at most {2 * n} calls, and none with more than {beam_size + 1} rows.",
    )
    lengths = sorted({shape[1] for shape in model.shapes})
    assert_equal(
        lengths[:4], [5, 6, 7, 8], "the list of lengths of what the model is shown, for a prompt of 5 and 4 new tokens",
        because="It is shown whole texts, from the prompt's first token on, in each step one token more.",
    )


@pytest.mark.parametrize("beam_size", [1, 2])
def test_many_tokens_do_not_underflow(solution, beam_size):
    n, probs = 80, [0.16, *[0.07] * (V - 1)]
    out, score, what = searched(solution, Same(probs), prompt(2), n, beam_size)
    says = "The logs are added: a product of 80 probabilities of 0.16 is 0 in float32, and its log -inf."
    exact = torch.tensor([float(score), n * math.log(0.16)], dtype=torch.float64)
    assert_close(exact[0], exact[1], f"the score of {what}", because=says, atol=1e-3)
    assert_equal(out[2:].tolist(), [0] * n, f"the continuation of {what}", because=says)


BAD = [({"beam_size": 0}, 0), ({"beam_size": -2}, -2), ({"n_tokens": -1}, -1), ({"alpha": -0.5}, -0.5)]
BAD += [({"n_tokens": 0, "beam_size": 0}, 0), ({"n_tokens": 0, "alpha": -1.5}, -1.5)]


@pytest.mark.parametrize(("options", "value"), BAD, ids=str)
def test_a_value_that_makes_no_sense_is_refused(solution, options, value):
    says = "beam_size is at least 1, n_tokens and alpha at least 0; the message says what came instead."
    with assert_raises(ValueError, f"beam_search with {options}", naming=[value], because=says):
        solution.beam_search(**{"model": Sum(), "ids": prompt(), "n_tokens": 3, "beam_size": 2, **options})
