"""Problem 15, part 1: what generate_text_simple promises, and generate with temperature 0, from cause to consequence.

Shapes: B batch, T tokens, V vocab_size, N new tokens.
"""

from functools import cache

import pytest
import torch

from common import problem
from common.testing import (
    assert_equal,
    assert_identical,
    assert_shape,
    assert_tensor,
    assert_tokens,
    assert_true,
    draw_ids,
    fail,
    fill,
    observe,
    tiny,
)
from common.testing.generation import Failing, Sum, V, continued, prompt

B, T = 3, 5
AXES = {"V": V}

# The two ways to generate greedily, so that each check of the loop is made of both.
GREEDY = {
    "generate_text_simple": lambda solution, *args: solution.generate_text_simple(*args),
    "generate": lambda solution, *args: solution.generate(*args, temperature=0),
}
CALLS = {
    "generate_text_simple": "generate_text_simple(model, batch, n_tokens, ...)",
    "generate": "generate(model, batch, n_tokens, ..., temperature=0)",
}
each_greedy = pytest.mark.parametrize("name", list(GREEDY))


def greedy(solution, name, model, ids, n_tokens, max_context=20):
    return assert_tensor(GREEDY[name](solution, model, ids, n_tokens, max_context), CALLS[name])


def assert_writes(solution, name, ids, n_tokens, max_context, what, because):
    """Check the new tokens that come after these ids from a model whose answers are known."""
    out = greedy(solution, name, Sum().eval(), ids, n_tokens, max_context)
    assert_tokens(out, continued(ids, n_tokens, max_context), f"{what} of {CALLS[name]}", because=because)


# --- temperature 0 -------------------------------------------------------------------------------


def test_a_temperature_of_zero_is_greedy(solution):
    try:
        greedy(solution, "generate", Sum().eval(), prompt(), 2)
    except (ValueError, RuntimeError) as error:
        if not any(word in str(error) for word in ("temperature", "probability", "inf", "nan")):
            raise
        observe("with temperature 0", str(error))
        fail(
            f"{CALLS['generate']} fails:", expected="the most likely tokens",
            got=f"{type(error).__name__}: {error}".partition("\n")[0],
            because="0 cannot divide, and filter_logits refuses it. In generate it means greedy: the most likely "
            "token, without a draw.",
        )  # fmt: skip


# --- what comes out ------------------------------------------------------------------------------


@each_greedy
@pytest.mark.parametrize(("size", "n"), [(B, 4), (1, 1), (2, 8)])
def test_the_result_holds_the_new_tokens_only(solution, name, size, n):
    out = greedy(solution, name, Sum().eval(), prompt(size), n)
    says = "A row for each prompt and a column for each new token, (B, n_tokens); the prompt is not repeated."
    what = f"{CALLS[name]} with n_tokens={n}, for a prompt of shape {(size, T)},"
    assert_shape(out, (size, n), what, because=says)
    says = "These are token ids, int64, as argmax and multinomial give them."
    assert_equal(str(out.dtype), "torch.int64", f"the dtype of {CALLS[name]}", because=says)


@each_greedy
def test_no_new_tokens_give_an_empty_result(solution, name):
    says = "No new tokens are no columns, (B, 0): cut off the prompt by its length, as [:, -0:] is all of the text."
    try:
        out = greedy(solution, name, Sum().eval(), prompt(), 0)
    except (RuntimeError, ValueError, IndexError) as error:
        observe("with no new tokens", str(error))
        got = f"{type(error).__name__}: {error}".partition("\n")[0]
        fail(f"{CALLS[name]} with n_tokens=0 fails:", expected="a tensor of shape (3, 0)", got=got, because=says)
    assert_shape(out, (B, 0), f"{CALLS[name]} with n_tokens=0", because=says)


@each_greedy
def test_the_prompt_is_left_as_it_was(solution, name):
    ids = prompt()
    before = ids.clone()
    greedy(solution, name, Sum().eval(), ids, 4, 3)
    says = "The batch is the caller's. What writes into it works in place, and torch.cat makes a new tensor."
    assert_identical(ids, before, f"after {name}, the caller's batch", because=says)


# --- the loop ------------------------------------------------------------------------------------


@each_greedy
def test_the_first_token_is_the_most_likely_one_after_the_last_position(solution, name):
    says = "The model sees the whole prompt, and what follows it stands at the last position, logits[:, -1]: of these "
    says += "V logits the largest, for each row."
    assert_writes(solution, name, prompt(), 1, 20, "the first new token", says)


@each_greedy
def test_each_new_token_joins_the_context_of_the_next(solution, name):
    says = "Each new token is appended at the end of its row, and the model is asked again with all of the text."
    assert_writes(solution, name, prompt(), 6, 20, "with room for the whole text, the new tokens", says)


@each_greedy
@pytest.mark.parametrize("max_context", [1, 3, T, 7])
def test_the_model_never_sees_more_than_max_context_tokens(solution, name, max_context):
    model = Sum().eval()
    greedy(solution, name, model, prompt(), 5, max_context)
    longest = max((shape[1] for shape in model.shapes), default=0)
    observe("the context of each pass", model.shapes)
    if longest > max_context:
        fail(
            f"the model is given more than max_context={max_context} tokens, for a prompt of {T}:",
            expected=f"at most {max_context}", got=longest,
            because="It has no positions for more, and the text grows: what it sees is cropped anew in each pass.",
        )  # fmt: skip


@each_greedy
@pytest.mark.parametrize("max_context", [1, 3, T, 7])
def test_the_model_sees_the_last_max_context_tokens(solution, name, max_context):
    says = "In each pass the model sees the last max_context tokens of the text, or all while there are fewer."
    what = f"with max_context={max_context} and a prompt of {T}, the new tokens"
    assert_writes(solution, name, prompt(), 5, max_context, what, says)


@each_greedy
def test_one_forward_pass_makes_one_token(solution, name):
    model, n = Sum().eval(), 6
    greedy(solution, name, model, prompt(), n)
    passes = model.passes(B)
    observe("forward passes", float(passes))
    if passes > n:
        fail(
            f"the model is called more often than {n} new tokens need:", expected=f"{n} forward passes",
            got=f"{passes:g}",
            because="One pass gives the logits of all rows for one new token, and nothing is gained by another.",
        )  # fmt: skip


@each_greedy
def test_one_row_of_the_batch_does_not_touch_another(solution, name):
    ids, other = prompt(), prompt()
    other[1] = (other[1] + 1) % V
    before, changed = (greedy(solution, name, Sum().eval(), x, 6) for x in (ids, other))
    says = "The rows are texts of their own: nothing is mixed, compared or added up along the batch."
    assert_tokens(changed[:1], before[:1], "row 0, after changing only the prompt of row 1,", because=says)


@each_greedy
def test_each_call_starts_afresh(solution, name):
    says = "A call knows its own prompt and model alone, whatever was generated before."
    for size in (3, 2):
        ids = prompt(size, T + size)
        assert_writes(solution, name, ids, 4, 20, f"for a prompt of shape {tuple(ids.shape)}, the new tokens", says)


@each_greedy
def test_a_prompt_that_is_not_contiguous_gives_the_same(solution, name):
    says = "The same numbers lie in memory in another order, which view minds and reshape does not."
    strided = prompt().t().contiguous().t()
    assert_writes(solution, name, strided, 4, 20, "for a non-contiguous prompt, the new tokens", says)


# --- the model is left as it was found -----------------------------------------------------------


@each_greedy
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_the_model_works_in_eval_mode(solution, name, training):
    model = Sum().train(training)
    greedy(solution, name, model, prompt(), 3)
    says = "In training mode dropout would disturb each token: eval mode is switched on before the first pass."
    assert_true(not any(model.modes), "the model is in training mode while it generates", because=says)


@each_greedy
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_the_model_gets_its_mode_back(solution, name, training):
    says = "A training that goes on has to find the model as it was, and so does who had it in eval mode: the mode is "
    says += "remembered before the loop and put back after it."
    for n in (3, 0):
        model = Sum().train(training)
        greedy(solution, name, model, prompt(), n)
        mode = "training" if training else "eval"
        what = f"model.training after {name} with n_tokens={n}, for a model in {mode} mode,"
        assert_equal(model.training, training, what, because=says)


@each_greedy
def test_the_mode_comes_back_after_an_error_too(solution, name):
    model, raised = Failing().train(), "no error"
    try:
        GREEDY[name](solution, model, prompt(2, 2), 4, 20)
    except NotImplementedError:
        raise
    except Exception as error:
        raised = type(error).__name__
    says = "An error of the model is the caller's to see."
    assert_equal(raised, "KeyError", "what comes out of generation when the model raises a KeyError", because=says)
    says = "A line after the loop is not reached when the loop ends in an error; what stands under `finally:` is."
    assert_true(model.training, "the model is left in eval mode when generation ends in an error", because=says)
    says = "torch.no_grad() as a decorator or `with` block ends by itself, with an error or without."
    assert_true(torch.is_grad_enabled(), "gradients are left switched off after an error", because=says)


@each_greedy
def test_no_graph_is_built(solution, name):
    model = Sum().eval()
    greedy(solution, name, model, prompt(), 3)
    says = "Nothing is trained here, and a graph costs memory and time: the loop runs under torch.no_grad()."
    assert_true(not any(model.graphs), "the model builds a gradient graph while it generates", because=says)
    says = "torch.no_grad() as a decorator or `with` block ends by itself and puts back what it found."
    assert_true(torch.is_grad_enabled(), f"{name} leaves gradients switched off", because=says)
    with torch.no_grad():
        greedy(solution, name, model, prompt(), 1)
        on = torch.is_grad_enabled()
    assert_true(not on, f"{name} switches gradients on for a caller who had them off", because=says)


# --- a real model --------------------------------------------------------------------------------

CONFIG = tiny(n_layer=1)


@cache
def gpt2(device):
    return fill(problem(10).GPT2Model(CONFIG)).to(device)


@cache
def plain_loop(device, prompts):
    """What a GPT-2 in eval mode writes, ten tokens after three, beyond the end of its context."""
    model, texts = gpt2(device).eval(), torch.tensor(prompts, device=device)
    with torch.no_grad():
        for _ in range(10):
            logits = model(texts[:, -CONFIG.n_positions :])[:, -1]
            texts = torch.cat([texts, logits.argmax(-1, keepdim=True)], 1)
    return texts[:, 3:]


@each_greedy
def test_a_gpt2_with_dropout_writes_what_a_plain_loop_writes(solution, name):
    ids = draw_ids("gpt2", 2, 3)
    device = str(ids.device)
    expected = plain_loop(device, tuple(map(tuple, ids.tolist())))
    says = "A GPT-2 of problem 10 writes the same as in a loop on one page: the last n_positions tokens, the logits of "
    says += "the last position, argmax, cat, and no dropout."
    out = greedy(solution, name, gpt2(device).train(), ids, 10, CONFIG.n_positions)
    assert_tokens(out, expected, f"what a GPT-2 writes with {CALLS[name]}", because=says)
