"""Problem 15: what generate_text_simple, filter_logits and generate promise, from cause to consequence.

Shapes: B batch, T tokens, V vocab_size. Concrete random draws are the learner's own business: draws are compared
with bounds, or made certain (one token left), never with the reference's.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common import problem
from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    draw_ids,
    fail,
    fill,
    observe,
    tiny,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere, is_elsewhere

B, T, V = 3, 5, 13
INF = float("inf")


def rows(*values):
    """A float tensor on the checks' device."""
    return torch.tensor(values, device=draw("d", 1).device)


def logs(*values):
    """Logits whose softmax is the values given."""
    return rows(*values).log()


def seeded(number):
    return torch.Generator(device=draw("d", 1).device).manual_seed(number)


# --- models whose answers are known --------------------------------------------------------------


def after(seen):
    """The token that the model below holds for likeliest after these tokens: order and length count."""
    return (1 + sum(place * token for place, token in enumerate(seen, 1))) % V


class Sum(nn.Module):
    """A language model that says `after` at each position, and notes how it was called."""

    def __init__(self, sharp=50.0):
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(sharp))
        self.shapes, self.modes, self.graphs = [], [], []
        self.to(draw("d", 1).device)

    def forward(self, ids):
        self.shapes.append(tuple(ids.shape))
        self.modes.append(self.training)
        places = torch.arange(1, ids.size(1) + 1, device=ids.device)
        logits = self.sharp * F.one_hot((1 + (ids * places).cumsum(1)) % V, V)
        self.graphs.append(logits.requires_grad)
        return logits


class Next(nn.Module):
    """A language model that counts: after token i comes token i + 1, modulo V."""

    def __init__(self):
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(50.0))
        self.rows = 0  # that went through, in all calls together
        self.to(draw("d", 1).device)

    def forward(self, ids):
        self.rows += ids.size(0)
        return self.sharp * F.one_hot((ids + 1) % V, V)


class Same(nn.Module):
    """A language model with the same distribution everywhere."""

    def __init__(self, probs):
        super().__init__()
        self.logits = nn.Parameter(logs(*probs))

    def forward(self, ids):
        return self.logits.expand(*ids.shape, -1)


class Failing(nn.Module):
    """A model that works for three tokens and fails for more."""

    def __init__(self):
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(1.0))
        self.to(draw("d", 1).device)

    def forward(self, ids):
        if ids.size(1) > 3:
            raise KeyError("out of memory")
        return self.sharp * F.one_hot(ids, V)


def prompt(size=B, length=T):
    return draw_ids("prompt", size, length, vocab_size=V)


def continued(ids, n_tokens, max_context, seen=None):
    """What Sum says, in plain Python: the new tokens of each row.

    Args:
        seen: what the model sees of (text, length of the prompt); by default the last max_context tokens.
    """
    seen = seen or (lambda text, start: text[-max_context:])
    texts = [list(row) for row in ids.tolist()]
    for text in texts:
        for _ in range(n_tokens):
            text.append(after(seen(text, ids.size(1))))
    return [text[ids.size(1) :] for text in texts]


def nearest(got, usual, otherwise):
    """The sentence of the usual wrong answer that this is."""
    for says, wrong in usual.items():
        if isinstance(got, list):
            same = got == wrong
        else:
            same = got.shape == wrong.shape and bool(torch.isclose(got.float(), wrong.float(), atol=1e-5, equal_nan=True).all())
        if same:
            return says
    return otherwise


# The two ways to generate greedily, so that each check of the loop is made of both.
GREEDY = {
    "generate_text_simple": lambda solution, *args: solution.generate_text_simple(*args),
    "generate": lambda solution, *args: solution.generate(*args, temperature=0),
}
each_greedy = pytest.mark.parametrize("name", list(GREEDY))


def greedy(solution, name, model, ids, n_tokens, max_context=20):
    return assert_tensor(GREEDY[name](solution, model, ids, n_tokens, max_context), called(name))


def called(name, n="n_tokens"):
    return f"generate_text_simple(model, batch, {n}, ...)" if name == "generate_text_simple" else f"generate(model, batch, {n}, ..., temperature=0)"


# --- generate_text_simple, and generate at temperature 0 -----------------------------------------


@each_greedy
@pytest.mark.parametrize(("size", "n"), [(B, 4), (1, 1), (2, 8)])
def test_the_result_holds_the_new_tokens_only(solution, name, size, n):
    out = greedy(solution, name, Sum().eval(), prompt(size), n)
    says = "One column for each new token, (B, n_tokens)."
    if out.ndim == 2 and out.shape[-1] == T + n:
        says = "The prompt is still in front: return the new tokens only, text[:, T:]."
    elif out.shape == (n, size):
        says = "Batch and tokens are swapped: stack the new tokens along dim=1."
    elif out.ndim == 2 and out.shape[0] != size:
        says = "The new tokens were appended along the batch, dim=0. The text grows along dim=1."
    assert_shape(out, (size, n), f"{called(name, n)} for a prompt of shape {(size, T)}", because=says)
    assert_equal(str(out.dtype), "torch.int64", f"the dtype of {called(name)}", because="These are token ids, int64, which argmax and multinomial give.")


@each_greedy
def test_the_prompt_is_left_as_it_was(solution, name):
    ids = prompt()
    before = ids.clone()
    greedy(solution, name, Sum().eval(), ids, 4, 3)
    assert_identical(ids, before, f"after {name}, the caller's batch", because="You write into the prompt: make new tensors with torch.cat instead.")


@each_greedy
def test_the_first_token_is_the_most_likely_one_after_the_last_position(solution, name):
    ids = prompt()
    got = greedy(solution, name, Sum().eval(), ids, 1).flatten().tolist()
    usual = {
        "It comes from the logits of the first position; what follows the text stands at the last one, logits[:, -1].": [after(row[:1]) for row in ids.tolist()],
        "It comes from the logits of the last position but one: logits[:, -1] is the last.": [after(row[:-1]) for row in ids.tolist()],
        "The model is shown the last token alone; it needs the whole text, up to max_context tokens.": [after(row[-1:]) for row in ids.tolist()],
        "The least likely tokens are taken: argmax, not argmin.": [int(after(row) == 0) for row in ids.tolist()],
    }
    says = nearest(got, usual, "Each row's token is the argmax over the vocabulary, dim=-1, of its logits at the last position, logits[:, -1].")
    assert_equal(got, [after(row) for row in ids.tolist()], f"the first new token of each row from {called(name)}", because=says)


@each_greedy
def test_each_new_token_joins_the_context_of_the_next(solution, name):
    ids = prompt()
    got = greedy(solution, name, Sum().eval(), ids, 6).tolist()
    usual = {
        "Each token is predicted from the bare prompt: append the new token before the next pass.": continued(ids, 6, 20, lambda text, start: text[:start]),
        "After the first pass the model sees the last token alone. Without a cache it needs the whole text in each pass.": continued(ids, 6, 20, lambda text, start: text if len(text) == start else text[-1:]),
        "The context keeps its length: the oldest token is dropped though there is room for max_context tokens.": continued(ids, 6, 20, lambda text, start: text[-start:]),
        "From the second pass on the model sees the new tokens without the prompt.": continued(ids, 6, 20, lambda text, start: text[start:] or text),
    }
    says = nearest(got, usual, "The new token is appended to the text, at its end (dim=1), and the model is asked again with all of it.")
    assert_equal(got, continued(ids, 6, 20), f"the new tokens of {called(name)} while the context has room", because=says)


@each_greedy
@pytest.mark.parametrize("max_context", [1, 3, T, 7])
def test_the_model_sees_the_last_max_context_tokens(solution, name, max_context):
    ids, model = prompt(), Sum().eval()
    got = greedy(solution, name, model, ids, 5, max_context).tolist()
    longest = max((shape[1] for shape in model.shapes), default=0)
    observe("the longest context", longest)
    if longest > max_context:
        fail(
            f"the model is given more than max_context={max_context} tokens:", expected=f"at most {max_context}", got=longest,
            because="It has no positions for more. Crop what it sees in each pass of the loop: text[:, -max_context:].",
        )  # fmt: skip
    usual = {
        "The model sees the first max_context tokens; it needs the last ones: text[:, -max_context:].": continued(ids, 5, max_context, lambda text, start: text[:max_context]),
        "The model sees fewer tokens than it may: max_context of them, not max_context - 1.": continued(ids, 5, max_context, lambda text, start: text[-(max_context - 1) :] if max_context > 1 else text[-1:]),
    }
    says = nearest(got, usual, "The model sees the last max_context tokens, or all while there are fewer: text[:, -max_context:] does both.")
    assert_equal(got, continued(ids, 5, max_context), f"the new tokens for max_context={max_context} and a prompt of {T}", because=says)


@each_greedy
def test_one_forward_pass_makes_one_token(solution, name):
    model, n = Sum().eval(), 6
    greedy(solution, name, model, prompt(), n)
    passes = sum(shape[0] for shape in model.shapes) / B
    observe("forward passes", "enough" if passes <= n + 1 else round(passes / n))
    if passes > n + 1:
        fail(f"the model is called more often than {n} new tokens need:", expected=f"{n} forward passes", got=f"{passes:g}", because="Keep the logits of a pass instead of calling the model again.")


@each_greedy
def test_no_new_tokens_give_an_empty_result(solution, name):
    out = greedy(solution, name, Sum().eval(), prompt(), 0)
    assert_shape(out, (B, 0), called(name, 0), because="No new tokens, and so no columns: (B, 0). text[:, T:] gives that by itself, a cat or stack of an empty list does not.")


@each_greedy
def test_one_row_of_the_batch_does_not_touch_another(solution, name):
    ids, other = prompt(), prompt()
    other[1] = (other[1] + 1) % V
    before, changed = (greedy(solution, name, Sum().eval(), x, 6) for x in (ids, other))
    assert_equal(changed[0].tolist(), before[0].tolist(), "the new tokens of row 0, after changing only the prompt of row 1,", because="The rows are independent texts: something mixes or sums over the batch axis.")


@each_greedy
@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_the_model_works_in_eval_mode_and_gets_its_mode_back(solution, name, training):
    model = Sum().train(training)
    greedy(solution, name, model, prompt(), 3)
    assert_true(not any(model.modes), "the model is in training mode while it generates", because="Dropout would disturb each token: call model.eval() before the loop.")
    was = "training" if training else "eval"
    assert_equal(model.training, training, f"model.training after {name}, for a model that was in {was} mode,", because="Leave the mode as you found it: remember model.training, and end with model.train(was_training).")
    greedy(solution, name, model, prompt(), 0)
    assert_equal(model.training, training, f"model.training after {name} with n_tokens=0, for a model that was in {was} mode,", because="Also where there is nothing to do, the mode is left as it was found.")


@each_greedy
def test_the_mode_comes_back_after_an_error_too(solution, name):
    model = Failing().train()
    try:
        GREEDY[name](solution, model, prompt(2, 2), 4, 20)
        raised = "no error"
    except NotImplementedError:
        raise
    except Exception as error:
        raised = type(error).__name__
    assert_equal(raised, "KeyError", "what comes out of generation when the model raises a KeyError", because="An error of the model is the caller's to see: let it through.")
    assert_true(model.training, "the model is left in eval mode when generation ends in an error", because="Put the loop into `try:` and model.train(was_training) under `finally:`, which runs in any case.")
    assert_true(torch.is_grad_enabled(), "gradients are left switched off when generation ends in an error", because="Use torch.no_grad() as a decorator or `with` block, which ends by itself.")


@each_greedy
def test_no_graph_is_built(solution, name):
    model = Sum().eval()
    greedy(solution, name, model, prompt(), 3)
    assert_true(not any(model.graphs), "the model builds a gradient graph while it generates", because="Nothing is trained here: put the loop under torch.no_grad(), or the decorator on the function.")
    assert_true(torch.is_grad_enabled(), f"{name} leaves gradients switched off", because="Use torch.no_grad() as a decorator or `with` block, so that it ends.")
    with torch.no_grad():
        greedy(solution, name, model, prompt(), 1)
        on = torch.is_grad_enabled()
    assert_true(not on, f"{name} switches gradients on for a caller who had them off", because="Leave what you did not change: torch.no_grad() as a decorator or `with` block puts back what it found.")


@each_greedy
def test_a_prompt_that_is_not_contiguous_gives_the_same(solution, name):
    ids = prompt()
    strided = ids.t().contiguous().t()
    assert_equal(greedy(solution, name, Sum().eval(), strided, 4).tolist(), continued(ids, 4, 20), f"the new tokens of {called(name)} for a non-contiguous prompt", because="The same numbers in another memory layout: use reshape where view asks for contiguous memory.")


@each_greedy
def test_a_gpt2_with_dropout_writes_what_a_plain_loop_writes(solution, name):
    config = tiny(n_layer=1)
    model = fill(problem(10).GPT2Model(config))
    ids = draw_ids("gpt2", 2, 3)
    texts = ids
    with torch.no_grad():
        for _ in range(10):
            texts = torch.cat([texts, model(texts[:, -config.n_positions :])[:, -1].argmax(-1, keepdim=True)], 1)
    got = greedy(solution, name, model.train(), ids, 10, config.n_positions)
    assert_equal(got.tolist(), texts[:, 3:].tolist(), "what a GPT-2 of problem 10 writes, beyond the end of its context,", because="The same loop written out: crop to max_context, logits of the last position, argmax, append; dropout off.")


# --- filter_logits -------------------------------------------------------------------------------


def kept(logits):
    """Which tokens are left, row by row: those that are not -inf."""
    return [[i for i, x in enumerate(row) if x != -INF] for row in assert_tensor(logits, "the result of filter_logits").tolist()]


def test_a_filter_gives_a_logit_for_every_token(solution):
    out = solution.filter_logits(draw("logits", B, V))
    assert_shape(out, (B, V), "filter_logits(logits)", because="One logit for each token of each row: a removed token keeps its place, with -inf.")


def test_without_options_the_logits_stay_as_they_are(solution):
    logits = draw("logits", B, V)
    out = assert_tensor(solution.filter_logits(logits), "the result of filter_logits")
    usual = {
        "These are probabilities. filter_logits returns logits; the softmax is generate's business.": logits.softmax(-1),
        "These are log-probabilities. filter_logits returns the logits themselves.": logits.log_softmax(-1),
    }
    assert_close(out, logits, "filter_logits(logits)", because=nearest(out, usual, "With temperature 1, no top_k and no top_p, nothing is left to do."))


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_the_temperature_divides_the_logits(solution, temperature):
    logits = draw("logits", B, V)
    out = assert_tensor(solution.filter_logits(logits, temperature=temperature), "the result of filter_logits")
    usual = {
        "The temperature is ignored: divide the logits by it.": logits,
        "You multiply by the temperature: divide, so that a high one makes the choice more even.": logits * temperature,
        "These are probabilities: filter_logits returns logits.": (logits / temperature).softmax(-1),
        "You divide by the square of the temperature: is it applied twice?": logits / temperature**2,
    }
    assert_close(out, logits / temperature, f"filter_logits(logits, temperature={temperature})", because=nearest(out, usual, "It is logits / temperature."))


@pytest.mark.parametrize("k", [1, 4])
def test_top_k_keeps_the_k_largest_of_each_row(solution, k):
    logits = draw("logits", B, V)
    out = solution.filter_logits(logits, top_k=k)
    expected = [sorted(row.topk(k).indices.tolist()) for row in logits]
    got = kept(out)
    counts = [len(row) for row in got]
    if counts == [V] * B:
        changed = (out != logits).any()
        says = "All tokens are left: a removed logit has to be exactly -inf, as exp(-inf) = 0." if changed else "All tokens are left: top_k has no effect. masked_fill returns a new tensor, which has to be kept."
    elif counts == [k + 1] * B:
        says = "One token too many is left: the k-th largest is at index k - 1 of the sorted logits."
    elif counts == [k - 1] * B:
        says = "One token too few is left: remove what is < the k-th largest, not what is <=."
    elif got == [sorted((-row).topk(k).indices.tolist()) for row in logits]:
        says = "These are the smallest logits, not the largest."
    elif counts == [k] * B:
        says = "The number is right, the choice is not: are these positions in the sorted order instead of tokens?"
    else:
        says = "The threshold is the row's own k-th largest logit, (B, 1), not one number for the whole batch."
    assert_equal(got, expected, f"for top_k={k}, the list of tokens that are left in each row", because=says)


def test_what_top_k_keeps_is_not_changed(solution):
    logits = draw("logits", B, V)
    out = solution.filter_logits(logits, temperature=2.0, top_k=4)
    expected = (logits / 2).masked_fill(logits < logits.topk(4).values[:, -1:], -INF)
    usual = {
        "The temperature is lost when top_k is given.": 2 * expected,
        "The kept tokens all get the same logit: they keep their own.": expected.masked_fill(expected > -INF, 0.0),
        "These are probabilities: filter_logits returns logits.": expected.softmax(-1),
    }
    assert_close(out, expected, "filter_logits(logits, temperature=2, top_k=4)", because=nearest(out, usual, "Kept logits stay logits / temperature, removed ones are -inf."))


def test_ties_with_the_kth_logit_stay(solution):
    logits = rows([1.0, 3.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0, -1.0])
    got = kept(solution.filter_logits(logits, top_k=2))
    assert_equal(got, [[1, 2, 3], [0, 1, 2, 3]], "for top_k=2 and logits (1, 3, 2, 2, 0) and (5, 5, 5, 5, -1), the list of tokens that are left", because="What ties with the k-th largest stays: compare with its value, logits < kth, instead of keeping the indices of topk.")


@pytest.mark.parametrize("k", [V, V + 1, 50])
def test_a_top_k_of_v_or_more_keeps_all(solution, k):
    logits = draw("logits", B, V)
    assert_close(solution.filter_logits(logits, top_k=k), logits, f"filter_logits of {V} logits with top_k={k}", because="A top_k above V keeps every token: topk(min(top_k, V)).")


FOUR = [0.15, 0.5, 0.05, 0.3]  # adding up from the most likely: 0.5, 0.8, 0.95, 1


@pytest.mark.parametrize(("p", "tokens"), [(0.4, [1]), (0.7, [1, 3]), (0.9, [0, 1, 3]), (0.97, [0, 1, 2, 3])])
def test_top_p_keeps_the_smallest_set_that_reaches_p(solution, p, tokens):
    got = kept(solution.filter_logits(logs(FOUR), top_p=p))[0]
    if not got:
        says = "Nothing is left: the most likely token stays, also where it alone is above p."
    elif len(got) < len(tokens):
        says = "The token that crosses p is missing: the kept tokens together have to reach p, so keep a token if those before it are still below p."
    elif len(got) == 4:
        says = "All tokens are left, none is at -inf: a token goes if the more likely ones reach p without it. The sum runs over probabilities, from the most likely on."
    elif len(got) > len(tokens):
        says = "More is left than needed: a token goes, to exactly -inf, if the more likely ones reach p without it."
    else:
        says = "The number is right, the tokens are not: either the least likely are kept, or the mask in sorted order was not carried back to the tokens' own places (scatter)."
    assert_equal(got, tokens, f"for probabilities {tuple(FOUR)} and top_p={p}, the list of tokens that are left", because=says)


def test_top_p_adds_up_probabilities_whatever_is_added_to_the_logits(solution):
    got = [kept(solution.filter_logits(logs(FOUR) + shift, top_p=0.7))[0] for shift in (0.0, 3.0, -3.0)]
    assert_equal(got, [[1, 3]] * 3, f"for probabilities {tuple(FOUR)} and top_p=0.7, what is left as 0, 3 and -3 are added to all logits", because="A constant on all logits changes no probability: add up softmax(logits), not the logits.")


def test_top_p_looks_at_what_the_temperature_made(solution):
    got = [kept(solution.filter_logits(2 * logs([0.5, 0.3, 0.15, 0.05]), temperature=2.0, top_p=p))[0] for p in (0.9, 0.78)]
    says = "The temperature comes first: the nucleus is measured on softmax(logits / temperature), here (0.5, 0.3, 0.15, 0.05)."
    assert_equal(got, [[0, 1, 2], [0, 1]], "for temperature=2.0 and top_p=0.9, then 0.78, the list of tokens that are left", because=says)


def test_top_p_looks_at_what_top_k_left(solution):
    got = kept(solution.filter_logits(logs([0.1, 0.4, 0.2, 0.3]), top_k=2, top_p=0.5))[0]
    says = "top_k leaves 0.4 and 0.3, and their softmax is (4/7, 3/7): the first alone reaches 0.5. top_k comes first, and top_p adds up the softmax of what it left."
    assert_equal(got, [1], "for probabilities (0.1, 0.4, 0.2, 0.3), top_k=2 and top_p=0.5, the list of tokens that are left", because=says)
    got = kept(solution.filter_logits(logs([0.1, 0.4, 0.2, 0.3]), top_k=3, top_p=0.75))[0]
    assert_equal(got, [1, 3], "for probabilities (0.1, 0.4, 0.2, 0.3), top_k=3 and top_p=0.75, the list of tokens that are left", because="top_k=3 leaves (4/9, 2/9, 3/9), of which 4/9 and 3/9 reach 0.75.")


def test_what_top_p_keeps_is_not_changed(solution):
    logits = draw("logits", B, V)
    order = (logits / 2).softmax(-1).sort(-1, descending=True)
    removed = torch.zeros_like(logits, dtype=torch.bool).scatter(-1, order.indices, order.values.cumsum(-1) - order.values >= 0.6)
    expected = (logits / 2).masked_fill(removed, -INF)
    out = assert_tensor(solution.filter_logits(logits, temperature=2.0, top_p=0.6), "the result of filter_logits")
    usual = {
        "The logits come back in sorted order: each has to return to its own token's place (scatter).": (logits / 2).gather(-1, order.indices).masked_fill(removed.gather(-1, order.indices), -INF),
        "The temperature is lost when top_p is given.": 2 * expected,
        "These are probabilities: filter_logits returns logits.": expected.softmax(-1),
        "These are log-probabilities: kept logits stay logits / temperature.": (logits / 2).log_softmax(-1).masked_fill(removed, -INF),
    }
    assert_close(out, expected, "filter_logits(logits, temperature=2, top_p=0.6)", because=nearest(out, usual, "Kept logits stay logits / temperature, removed ones are -inf."))


def test_each_row_has_its_own_nucleus(solution):
    together = logs(FOUR, [0.02, 0.03, 0.91, 0.04], [0.33, 0.17, 0.27, 0.23])
    got = kept(solution.filter_logits(together, top_p=0.81))
    assert_equal(got, [[0, 1, 3], [2], [0, 2, 3]], "for three rows and top_p=0.81, the list of tokens that are left in each", because="Sort, add up and cut along the vocabulary, dim=-1, and bring each row back by its own order: scatter along dim=-1.")


def test_a_top_p_of_one_keeps_all(solution):
    logits = logs(FOUR, [0.25, 0.3, 0.35, 0.1])
    assert_close(solution.filter_logits(logits, top_p=1.0), logits, "filter_logits(logits, top_p=1.0)", because="All tokens together are needed to reach a probability of 1.")


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7}, {"top_k": 2}, {"top_k": 4}, {"top_p": 0.6}, {"top_k": 3, "top_p": 0.95}], ids=str)
def test_a_logit_of_minus_infinity_stays_removed(solution, options):
    logits = rows([-INF, 2.0, -INF, 1.9, -INF])
    out = assert_tensor(solution.filter_logits(logits, **options), "the result of filter_logits")
    says = "A logit of -inf is a token that cannot come, and stays at -inf. -inf - (-inf) and 0 * inf are NaN: mask with masked_fill or where."
    assert_close(out, logits / options.get("temperature", 1.0), f"filter_logits of (-inf, 2, -inf, 1.9, -inf) with {options or 'no options'}", because=says)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"temperature": 0}, "0"), ({"temperature": 0.0}, "0"), ({"temperature": -0.5}, "-0.5"), ({"top_k": 0}, "0"), ({"top_k": -3}, "-3"),
        ({"top_p": 0.0}, "0"), ({"top_p": -0.25}, "-0.25"), ({"top_p": 1.5}, "1.5"),
    ],
    ids=str,
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused(solution, options, named):
    (name, value), = options.items()
    limits = {"temperature": "above 0 in filter_logits", "top_k": "at least 1", "top_p": "above 0 and at most 1"}
    because = f"{name} is {limits[name]}: raise a ValueError that says what came instead."
    if value == 0 and name != "temperature":
        because += f" Ask `{name} is not None`: 0 counts as false, but it is a value."
    with assert_raises(ValueError, f"filter_logits(logits, {name}={value})", naming=[named], because=because):
        solution.filter_logits(draw("logits", B, V), **options)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"top_k": 2}, {"top_p": 0.5}], ids=str)
def test_the_logits_are_left_as_they_were(solution, options):
    logits = draw("logits", B, V)
    before = logits.clone()
    solution.filter_logits(logits, **options)
    assert_identical(logits, before, f"after filter_logits with {options or 'no options'}, the caller's logits", because="You change the tensor that was passed in: `/=`, masked_fill_ and assignment to logits[...] work in place.")


def test_double_precision_stays_double(solution):
    out = assert_tensor(solution.filter_logits(draw("logits", B, V).double(), temperature=0.7, top_k=5, top_p=0.8), "the result of filter_logits")
    assert_equal(str(out.dtype), "torch.float64", "the dtype of filter_logits for logits in float64", because="A cast such as .float(), or a tensor of a fixed type, changes the type.")


# --- generate: drawing ---------------------------------------------------------------------------

FIVE = [0.45, 0.0, 0.3, 0.15, 0.1]


def shares(solution, **options):
    """The share of each token among 2000 draws from FIVE."""
    ids = torch.zeros(500, 1, dtype=torch.int64, device=draw("d", 1).device)
    out = assert_tensor(solution.generate(Same(FIVE).eval(), ids, 4, 20, generator=seeded(6), **options), "the result of generate")
    assert_shape(out, (500, 4), "the result of generate for 500 prompts and n_tokens=4", because="The new tokens only, (B, n_tokens).")
    return torch.bincount(out.flatten(), minlength=5).cpu() / 2000


@pytest.mark.parametrize(
    ("options", "probs"),
    [
        ({}, FIVE), ({"temperature": 0.5}, [0.6231, 0.0, 0.2769, 0.0692, 0.0308]), ({"temperature": 1000.0}, [0.25, 0.0, 0.25, 0.25, 0.25]),
        ({"top_k": 2}, [0.6, 0.0, 0.4, 0.0, 0.0]), ({"top_p": 0.8}, [0.5, 0.0, 0.3333, 0.1667, 0.0]), ({"top_k": 3, "top_p": 0.7}, [0.6, 0.0, 0.4, 0.0, 0.0]),
    ],
    ids=str,
)  # fmt: skip
def test_draws_follow_the_filtered_distribution(solution, options, probs):
    got, right = shares(solution, **options), torch.tensor(probs)
    named = ", ".join(options)
    usual = {
        "right": right,
        "Always the most likely token: that is greedy, not a draw. Draw with torch.multinomial from the softmax.": torch.eye(5)[0],
        f"The options {named} do not reach filter_logits." if options else "": torch.tensor(FIVE),
        "Every token that is left is drawn equally often: hand multinomial the probabilities, not the mask.": (right > 0).float() / int((right > 0).sum()),
        "The probabilities went through a second softmax: multinomial takes them as they are.": right.softmax(-1),
        "Every token is drawn equally often, those without any probability too: the logits are not used.": torch.full((5,), 0.2),
    }
    label = next((says for says, p in usual.items() if float((got - p).abs().max()) < 0.05), "The share of each token among many draws comes close to its probability.")
    never = got[right == 0].sum() > 0
    observe("shares", label)
    observe("a removed token is drawn", bool(never))
    if label != "right":
        fail(f"the shares of the tokens among 2000 draws with {options or 'no options'} are wrong:", expected=f"about {[round(p, 2) for p in probs]}", got=[round(p, 2) for p in got.tolist()], because=label)
    if never:
        fail(f"a token without any probability is drawn with {options or 'no options'}:", expected="never", got=[round(p, 3) for p in got.tolist()], because="A filtered logit is -inf, and softmax makes exactly 0 of it, which is never drawn.")


def test_the_temperature_is_1_unless_it_is_given(solution):
    ids = torch.zeros(500, 1, dtype=torch.int64, device=draw("d", 1).device)
    default, one = (assert_tensor(solution.generate(Same(FIVE).eval(), ids, 4, 20, generator=seeded(6), **options), "the result of generate") for options in ({}, {"temperature": 1.0}))
    assert_identical(default, one, "500 texts drawn without a temperature, and with temperature=1.0 and the same seed,", because="The default of temperature is 1.0.")


@pytest.mark.parametrize("options", [{"temperature": 0}, {"temperature": 0.0, "top_k": 4, "top_p": 0.9}, {"top_k": 1}, {"top_p": 0.01}, {"temperature": 0.01}], ids=str)
def test_where_one_token_is_left_there_is_no_choice(solution, options):
    ids = prompt()
    out = assert_tensor(solution.generate(Sum(sharp=0.7).eval(), ids, 8, 20, **options, generator=seeded(3)), "the result of generate")
    said = ", ".join(f"{name}={value}" for name, value in options.items())
    says = "temperature=0 means greedy: treat it apart, with argmax, as filter_logits cannot divide by 0." if options.get("temperature") == 0 else f"Only one token has any probability then: hand {next(iter(options))} on to filter_logits."
    assert_true(out.tolist() == continued(ids, 8, 20), f"generate with {said} takes other tokens than the most likely", because=says)


def test_each_drawn_token_follows_from_all_before_it(solution):
    # The likeliest token has all but 1e-20 of the probability, so a draw has no choice.
    ids = prompt()
    for max_context in (20, 3):
        out = assert_tensor(solution.generate(Sum().eval(), ids, 6, max_context, generator=seeded(2)), "the result of generate")
        assert_equal(out.tolist(), continued(ids, 6, max_context), f"the tokens that generate draws where only one is possible, for max_context={max_context},", because="Row b is drawn from row b of the last position's logits, and joins row b of the text; the model sees the last max_context tokens.")


def test_equal_prompts_go_different_ways(solution):
    ids = torch.ones(6, 2, dtype=torch.int64, device=draw("d", 1).device)
    out = assert_tensor(solution.generate(Sum(sharp=0.0).eval(), ids, 9, 20, generator=seeded(6)), "the result of generate").tolist()
    assert_true(len({tuple(row) for row in out}) > 1, "six equal prompts are continued in the same way", because="The rows are independent: each has a draw of its own in each step.")
    constant = all(len(set(row)) == 1 for row in out)
    assert_true(not constant, "each text repeats one token to its end", because="Each step is a new draw: set no seed in the loop.")


@pytest.mark.parametrize("options", [{}, {"temperature": 1.5, "top_k": 9, "top_p": 0.95}], ids=str)
def test_the_same_seed_gives_the_same_text(solution, options):
    outs = []
    for other in (1, 2):
        torch.manual_seed(other)
        outs.append(assert_tensor(solution.generate(Sum(sharp=0.1).eval(), prompt(), 9, 20, generator=seeded(5), **options), "the result of generate").tolist())
    assert_true(outs[0] == outs[1], "two calls of generate with generators of one seed give different texts", because="The draws ignore the generator: pass generator=generator to torch.multinomial.")


@pytest.mark.parametrize("own", [True, False], ids=["a generator", "no generator"])
def test_each_call_gives_a_new_text(solution, own):
    generator = seeded(8) if own else None
    first, second = (assert_tensor(solution.generate(Sum(sharp=0.1).eval(), prompt(), 9, 20, generator=generator), "the result of generate").tolist() for _ in range(2))
    what = "one generator" if own else "no generator"
    assert_true(first != second, f"two calls in a row with {what} give the same {B} texts", because="Each call moves on in the stream of random numbers: set no seed inside generate, and make no new Generator there.")


@pytest.mark.parametrize(("options", "named"), [({"temperature": -1.0}, "-1"), ({"top_k": 0}, "0"), ({"top_p": 1.5}, "1.5"), ({"top_p": 0.0}, "0")], ids=str)
def test_generate_refuses_what_filter_logits_refuses(solution, options, named):
    (name, value), = options.items()
    model = Sum().train()
    with assert_raises(ValueError, f"generate(..., {name}={value})", naming=[named], because=f"Hand {name} on to filter_logits as it is: it raises the ValueError. Only a temperature of exactly 0 is greedy."):
        solution.generate(model, prompt(), 2, 20, **options)
    assert_true(model.training, f"the model is left in eval mode when {name}={value} is refused", because="Put the loop into `try:` and model.train(was_training) under `finally:`, which runs in any case.")


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_drawing_leaves_the_mode_and_the_gradients_as_greedy_does(solution, training):
    model = Sum().train(training)
    solution.generate(model, prompt(), 3, 20, generator=seeded(1))
    assert_true(not any(model.modes) and not any(model.graphs), "the model is in training mode, or builds a graph, while generate draws", because="model.eval() and torch.no_grad() are for both ways, the greedy and the drawn one.")
    assert_equal(model.training, training, "model.training after generate has drawn", because="Leave the mode as you found it.")


# --- generate: the end of a text -----------------------------------------------------------------

END = [[4, 5, 6, 7, 8, 9, 10], [9, 10, 10, 10, 10, 10, 10]]  # counted from 3 and from 8, with eos_id=10

each_way = pytest.mark.parametrize("temperature", [0, 1.0], ids=["greedy", "drawn"])


def counted(solution, last, n_tokens, model=None, **options):
    """Count on from prompts that end with these tokens; there is only one possible token at each step."""
    ids = torch.tensor([[1, token] for token in last], device=draw("d", 1).device)
    out = assert_tensor(solution.generate(model or Next().eval(), ids, n_tokens, 20, generator=seeded(1), **options), "the result of generate")
    fits = out.ndim == 2 and out.shape[0] == 2 and out.shape[1] <= n_tokens
    observe("the shape fits", fits or tuple(out.shape))
    if not fits:
        fail(
            f"the result of generate for 2 prompts, n_tokens={n_tokens} and {options} has the wrong shape:", expected=f"(2, {n_tokens}), or fewer columns where all rows have ended", got=tuple(out.shape),
            because="Flags of shape (B,) and tokens of shape (B, 1) broadcast to (B, B): give both the same shape.",
        )  # fmt: skip
    return out


@each_way
def test_a_row_that_has_ended_is_filled_with_eos(solution, temperature):
    got = counted(solution, [3, 8], 7, temperature=temperature, eos_id=10).tolist()
    usual = {
        "Row 1 goes on after its end: once a row has drawn eos_id, every later token of it is eos_id.": [END[0], [9, 10, 11, 12, 0, 1, 2]],
        "Generation stops when the first row has ended. The other rows go on: stop when all have.": [row[:2] for row in END],
        "The end token itself is missing: it is part of the row's result.": [END[0][:6], [9, *[10] * 5]],
        "Row 1 is filled with 0: fill it with eos_id.": [END[0], [9, 10, 0, 0, 0, 0, 0]],
        "Row 1 is filled with -1: fill it with eos_id.": [END[0], [9, 10, -1, -1, -1, -1, -1]],
        "Row 1 ended and row 0 was filled: keep one flag for each row.": [[4, 5, 10, 10, 10, 10, 10], END[1]],
        "Every other token is right: remember that a row has ended, as what the model says after eos_id is another token.": [END[0], [9, 10, 10, 11, 12, 0, 1]],
    }
    says = nearest(got, usual, "Row 0 counts 4, 5, 6, ... to 10, row 1 is at 10 two steps later, and is filled with 10 from there on.")
    assert_equal(got, END, "the new tokens after (1, 3) and (1, 8) from a model that counts, with eos_id=10 and n_tokens=7,", because=says)


@each_way
def test_generation_ends_when_all_rows_have(solution, temperature):
    model = Next().eval()
    got = counted(solution, [3, 8], 12, model, temperature=temperature, eos_id=10).tolist()
    passes = model.rows / 2
    observe("forward passes", "enough" if passes <= 8 else "too many")
    right = [row[:7] for row in got] == END and len(got[0]) >= 7
    says = "The last row draws eos_id as its token 7, and that token belongs to the result." if len(got[0]) < 7 else "Up to the end of the last row nothing changes."
    assert_true(right, "with eos_id=10 and n_tokens=12 the seven tokens up to the end of the last row are not what they should be", because=says)
    if not all(token == 10 for row in got for token in row[7:]):
        fail("after all rows have ended there are other tokens than eos_id:", expected="nothing more, or 10", got=[row[7:] for row in got], because="Leave the loop as soon as every row has drawn eos_id.")
    if passes > 8:
        fail("the model is called on though all rows have ended:", expected="7 forward passes", got=f"{passes:g}", because="Leave the loop as soon as every row has drawn eos_id: `if ended.all(): break`.")


def test_token_zero_can_be_the_end(solution):
    got = counted(solution, [10, 6], 7, eos_id=0).tolist()
    usual = {"eos_id=0 has no effect: `if eos_id:` takes 0 for None. Ask `eos_id is not None`.": [[11, 12, 0, 1, 2, 3, 4], [7, 8, 9, 10, 11, 12, 0]]}
    says = nearest(got, usual, "0 is a token like any other, and can be the end.")
    assert_equal(got, [[11, 12, 0, 0, 0, 0, 0], [7, 8, 9, 10, 11, 12, 0]], "the new tokens after (1, 10) and (1, 6) from a model that counts, with eos_id=0,", because=says)


def test_without_eos_id_no_token_ends_a_text(solution):
    got = counted(solution, [10, 6], 5).tolist()
    assert_equal(got, [[11, 12, 0, 1, 2], [7, 8, 9, 10, 11]], "the new tokens after (1, 10) and (1, 6) from a model that counts, without eos_id,", because="eos_id=None means that no token is special.")


def test_an_end_token_in_the_prompt_does_not_end_the_text(solution):
    got = counted(solution, [3, 8], 3, eos_id=1).tolist()
    assert_equal(got, [[4, 5, 6], [9, 10, 11]], "the new tokens after (1, 3) and (1, 8) from a model that counts, with eos_id=1,", because="GPT-2's texts begin with its end token. Only a new token ends a row: look at what was drawn, not at the prompt.")


def test_a_first_token_that_is_the_end_is_returned(solution):
    got = counted(solution, [9, 9], 4, eos_id=10).tolist()
    assert_true(bool(got[0]) and all(set(row) == {10} for row in got), "when all rows draw eos_id at once, the result does not hold it", because="The end token is a new token too: append it, then leave the loop.")


def test_the_arguments_have_the_order_of_the_contract(solution):
    ids = torch.zeros(2, 1, dtype=torch.int64, device=draw("d", 1).device)
    out = assert_tensor(solution.generate(Next().eval(), ids, 6, 20, 1.0, None, None, 3, seeded(1)), "the result of generate").tolist()
    assert_true(all(row[:3] == [1, 2, 3] and set(row[3:]) <= {3} for row in out), "generate(model, batch, n_tokens, max_context, temperature, top_k, top_p, eos_id, generator), called by position, gives another text", because="The signature stands in the README's Build section, in this order.")


# --- manners -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("filter_logits", lambda s, model, ids: s.filter_logits(model(ids)[:, -1], temperature=0.5, top_k=3, top_p=0.9)),
        ("generate_text_simple", lambda s, model, ids: s.generate_text_simple(model, ids, 3, 4)),
        ("generate", lambda s, model, ids: s.generate(model, ids, 3, 4, top_k=3, eos_id=2)),
    ],
    ids=["filter_logits", "generate_text_simple", "generate"],
)  # fmt: skip
def test_it_works_on_another_device(solution, name, call):
    model, trouble = Sum().eval(), ""
    with elsewhere(model) as send, torch.no_grad():
        try:
            out = call(solution, model, send(prompt()))
            if isinstance(out, torch.Tensor) and not is_elsewhere(out):
                trouble = "the result is on the CPU"
        except DevicesDiffer as error:
            trouble = str(error)
    observe(f"{name} on another device", bool(trouble))
    if trouble:
        fail(f"{name} does not work on another device:", expected="everything where model and batch are", got=trouble, because="A tensor is made on the CPU: give it device=batch.device, or make it with zeros_like or new_zeros.")
