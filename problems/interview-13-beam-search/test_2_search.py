"""Interview 13, second part: what beam_search finds, from cause to consequence.

The models are trees: after each text they have other logits. What a search as the README describes it finds in them
is said by a loop in plain Python. Shapes: B hypotheses, T tokens, V vocab_size.
"""

import itertools
import math
from functools import reduce

import pytest
import torch
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_tensor,
    assert_true,
    draw,
    draw_ids,
    fail,
    observe,
)

AXES = {"T": 4, "V": 5}
T, V = AXES.values()


class Tree(nn.Module):
    """A language model with other logits after each text; it notes what it is shown.

    Args:
        told: for some texts behind the prompt, the probabilities of what follows; all others are drawn.
    """

    def __init__(self, name="tree", size=V, told=None, gain=1.5, dtype=torch.float32):
        super().__init__()
        self.told, self.dtype = told or {}, dtype
        self.table, self.known, self.shown = gain * draw(name, 1009, size), {}, []

    def after(self, text):
        """The logits after a text, (V,); in a tree that is told things the prompt has T tokens."""
        if text not in self.known:
            probs = self.told.get(text[T:]) if len(text) >= T else None
            drawn = self.table[reduce(lambda number, token: (7 * number + token + 1) % 1009, text, 0)]
            self.known[text] = (drawn if probs is None else drawn.new_tensor(probs).log()).to(self.dtype)
        return self.known[text]

    def forward(self, ids):
        texts = [tuple(row) for row in ids.tolist()]
        self.shown.append(texts)
        return torch.stack([torch.stack([self.after(text[: t + 1]) for t in range(len(text))]) for text in texts])

    def logs(self, text):
        """The log-probabilities after a text, in float64."""
        return self.after(text).double().log_softmax(-1).tolist()


def prompt(name="prompt", size=T, vocab_size=V):
    return draw_ids(name, size, vocab_size=vocab_size)


def beam(model, start, n_tokens, beam_size, eos, alpha):
    """What has ended, in order, as (score, tokens); a loop over everything."""
    live, found = [(0.0, ())], []
    for n in range(1, n_tokens + 1):
        logs = [(total, c, model.logs(start + c)) for total, c in live]
        candidates = [(total + log, (*c, token)) for total, c, row in logs for token, log in enumerate(row)]
        kept = sorted(candidates, key=lambda candidate: -candidate[0])[:beam_size]
        ended = [n == n_tokens or c[-1] == eos for _, c in kept]
        found += [(total / n**alpha, c) for (total, c), end in zip(kept, ended, strict=True) if end]
        live = [candidate for candidate, end in zip(kept, ended, strict=True) if not end]
    return found


def best(model, ids, n_tokens, beam_size, eos=None, alpha=0.0):
    """The score and the continuation that the README asks for."""
    start = tuple(ids.tolist())
    found = beam(model, start, n_tokens, beam_size, eos, alpha) + beam(model, start, n_tokens, 1, eos, alpha)
    return max(found, key=lambda pair: pair[0])


def searched(solution, model, ids, n_tokens, beam_size, **options):
    """The continuation as a list, and the score; the form of what comes back is checked on the way."""
    told = "".join(f", {name}={value}" for name, value in options.items())
    what = f"beam_search(model, ids, {n_tokens}, beam_size={beam_size}{told})"
    result = solution.beam_search(model, ids, n_tokens, beam_size, **options)
    if not (isinstance(result, tuple | list) and len(result) == 2):
        observe(what, type(result).__name__)
        fail(
            f"{what} gives no pair:", expected="(ids, score)", got=f"a {type(result).__name__}",
            because="It returns the prompt with its continuation, and the score.",
        )
    out, score = assert_tensor(result[0], f"the ids of {what}"), result[1]
    observe(f"ids of {what}", out)
    if not isinstance(score, float | int):
        observe(f"score of {what}", type(score).__name__)
        fail(f"the score of {what} is no number:", expected="a Python float", got=f"a {type(score).__name__}")
    assert_true(
        out.ndim == 1 and out[: len(ids)].tolist() == ids.tolist(),
        f"the ids of {what} do not begin with the prompt, or have more than one axis",
        because="There is one prompt, (T,), and one text comes back, (T + n,): the prompt, and n new tokens behind it.",
    )
    return out[len(ids) :].tolist(), score, what


def assert_finds(solution, model, ids, n_tokens, beam_size, because, **options):
    """Check continuation and score against the loop's."""
    found, score, what = searched(solution, model, ids, n_tokens, beam_size, **options)
    right, tokens = best(model, ids, n_tokens, beam_size, **options)
    assert_equal(found, list(tokens), f"the continuation of {what}", because=because)
    assert_score(score, right, what, because)


def assert_score(score, right, what, because, atol=2e-5):
    exact = torch.tensor([float(score), right], dtype=torch.float64)
    assert_close(exact[0], exact[1], f"the score of {what}", because=because, atol=atol)


# --- greedy --------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.7])
def test_a_beam_of_one_is_greedy(solution, alpha):
    says = "A beam of one keeps the likeliest token in each step, given all of the text before it."
    assert_finds(solution, Tree("greedy"), prompt(), 5, 1, says, alpha=alpha)


def test_the_score_is_that_of_the_continuation(solution):
    says = "The score is the sum of the log-probabilities of the new tokens, each given all before it, over n ** alpha."
    for name, beam_size, alpha in (("a", 1, 0.0), ("b", 3, 0.0), ("c", 3, 1.0), ("d", 2, 0.5)):
        model, ids = Tree(f"score {name}"), prompt()
        found, score, what = searched(solution, model, ids, 4, beam_size, alpha=alpha)
        text, total = tuple(ids.tolist()), 0.0
        for token in found:
            total += model.logs(text)[token]
            text += (token,)
        assert_score(score, total / len(found) ** alpha, what, says)


def test_two_calls_share_nothing(solution):
    says = "What was searched before has no part in a search."
    for name, size, n in (("one", T, 3), ("other", 2, 4), ("one", T, 3)):
        assert_finds(solution, Tree("shared"), prompt(name, size), n, 3, says, eos=2)


# --- the beam ------------------------------------------------------------------------------------

LATER = {(): [0.5, 0.4, 0.1, 0, 0], (0,): [0.2] * 5, (1,): [0.05, 0.9, 0.05, 0, 0], (2,): [0.2] * 5}


def test_a_beam_finds_what_begins_less_likely(solution):
    says = "Greedy takes 0.5 and then 0.2; a beam of two also keeps the 0.4, behind which there is 0.9."
    assert_finds(solution, Tree(told=LATER), prompt(), 2, 2, says)


THIRD = {(): [0.5, 0.3, 0.2, 0, 0], (0,): [0.2] * 5, (1,): [0.2] * 5, (2,): [0, 0.96, 0.04, 0, 0]}


def test_a_beam_keeps_no_more_than_its_size(solution):
    says = "The best of two tokens begins with the third best of one, for which a beam of two has no room."
    assert_finds(solution, Tree(told=THIRD), prompt(), 2, 2, says)


@pytest.mark.parametrize("name", ["a", "b", "c"])
@pytest.mark.parametrize("beam_size", [2, 3, 4])
def test_each_step_keeps_the_largest_sums_of_all_candidates(solution, beam_size, name):
    says = "The sums of all continuations of all hypotheses are compared with one another, and the largest are kept."
    assert_finds(solution, Tree(f"beam {name}"), prompt(), 4, beam_size, says)


@pytest.mark.parametrize(("size", "n"), [(3, 3), (2, 4)])
def test_a_beam_that_is_wide_enough_finds_the_best_of_all(solution, size, n):
    says = "With room for all candidates nothing is lost: the best of all V ** n continuations is found."
    for alpha in (0.0, 1.0):
        model, ids = Tree("wide", size=size), prompt(vocab_size=size)
        found, score, what = searched(solution, model, ids, n, size**n + 3, alpha=alpha)
        start = tuple(ids.tolist())

        def total(c, model=model, start=start):
            return sum(model.logs(start + c[:i])[token] for i, token in enumerate(c))

        right = max(itertools.product(range(size), repeat=n), key=total)
        assert_equal(found, list(right), f"the continuation of {what}", because=says)
        assert_score(score, total(right) / n**alpha, what, says)


# --- what has ended ------------------------------------------------------------------------------


def test_eos_is_the_last_token(solution):
    told = {(): [0.1, 0.1, 0.1, 0.6, 0.1]}
    says = "What ends in eos has ended: nothing is put behind it, and eos itself belongs to it and to its score."
    assert_finds(solution, Tree("last", told=told), prompt(), 5, 1, says, eos=3)
    assert_finds(solution, Tree("last", told=told), prompt(), 5, 3, says, eos=3)


def test_token_zero_may_be_eos(solution):
    told = {(): [0.7, 0.1, 0.05, 0.1, 0.05]}
    says = "0 is a token like any other: `if eos` takes it for none, `eos is not None` does not."
    assert_finds(solution, Tree("zero", told=told), prompt(), 4, 2, says, eos=0)
    says = "With eos=None no token ends anything."
    assert_finds(solution, Tree("zero", told=told), prompt(), 4, 2, says)


def test_an_eos_in_the_prompt_ends_nothing(solution):
    ids = prompt()
    says = "The prompt holds eos, and its last token is eos; only new tokens end a continuation."
    for name in "ab":
        assert_finds(solution, Tree(f"in the prompt {name}"), ids, 3, 2, says, eos=ids[-1].item())


GOES_ON = {(): [0.35, 0, 0, 0.3, 0.35], (0,): [0.01, 0.98, 0.01, 0, 0], (0, 1): [0, 0.01, 0, 0.98, 0.01]}
GOES_ON |= {(4,): [0.2] * 5}


def test_the_search_goes_on_after_the_first_end(solution):
    says = "Something has ended after one token, with 0.3; what else is in the beam goes on, and ends better."
    assert_finds(solution, Tree(told=GOES_ON), prompt(), 4, 3, says, eos=3)


ENDS = {(): [0.32, 0.3, 0.0, 0.38, 0], (0,): [0.4, 0.35, 0.25, 0, 0], (1,): [0.1, 0.1, 0.8, 0, 0]}
ENDS |= {(1, 2): [0.05, 0, 0, 0.95, 0], (0, 0): [0.5, 0.5, 0, 0, 0], (0, 1): [0.5, 0.5, 0, 0, 0]}


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_what_has_ended_takes_no_place_in_the_beam(solution, alpha):
    says = "What has ended leaves the beam, and the next step again keeps up to beam_size candidates."
    assert_finds(solution, Tree(told=ENDS), prompt(), 4, 2, says, eos=3, alpha=alpha)
    assert_finds(solution, Tree(told=ENDS), prompt(), 4, 3, says, eos=3, alpha=alpha)


@pytest.mark.parametrize("beam_size", [2, 4])
@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
def test_searches_with_an_end_find_the_best_score(solution, name, beam_size):
    says = "Of all that has ended, on the way or with the last step, the one with the largest score is the result."
    for alpha in (0.0, 0.6, 2.0):
        assert_finds(solution, Tree(f"ends {name}"), prompt(), 5, beam_size, says, eos=2, alpha=alpha)


def test_what_has_not_ended_takes_part(solution):
    told = {(): [0.9, 0, 0, 0.1, 0], (0,): [0.9, 0.1, 0, 0, 0], (0, 0): [0.9, 0.1, 0, 0, 0]}
    says = "After n_tokens steps what is in the beam has ended as well, and may be better than what ended in eos."
    assert_finds(solution, Tree(told=told), prompt(), 3, 2, says, eos=3)


# --- the length penalty --------------------------------------------------------------------------

SHORT = {(): [0.5, 0, 0, 0.5, 0], (0,): [0, 0.8, 0, 0.2, 0], (0, 1): [0, 0, 0.8, 0.2, 0]}
SHORT |= {(0, 1, 2): [0.2, 0, 0, 0.8, 0]}


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0, 2.0])
def test_alpha_weighs_length(solution, alpha):
    says = "The sum is divided by n ** alpha, where n is the number of new tokens, eos among them and the prompt not."
    assert_finds(solution, Tree(told=SHORT), prompt(), 6, 4, says, eos=3, alpha=alpha)


def test_alpha_has_no_part_in_what_is_kept(solution):
    says = "Candidates of a step are ranked by their bare sums; alpha comes in where what has ended is compared."
    for name in ("a", "b", "c"):
        assert_finds(solution, Tree(f"kept {name}", gain=2.5), prompt(), 5, 2, says, eos=1, alpha=3.0)


# --- ties ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("beam_size", [1, 2, 4])
def test_of_equal_candidates_the_smaller_token_comes_first(solution, beam_size):
    even = {c: [0.2] * 5 for n in range(4) for c in itertools.product(range(V), repeat=n)}
    says = "All sums are equal: the earlier hypothesis comes first, and of one hypothesis the smaller token."
    assert_finds(solution, Tree(told=even), prompt(), 3, beam_size, says)


EQUAL = {(): [0, 0.5, 0.5, 0, 0], (1,): [0, 0, 0, 0.25, 0.75], (2,): [0, 0, 0, 0.75, 0.25]}
EQUAL |= {(1, 4): [0, 0, 1.0, 0, 0], (2, 3): [0, 0, 1.0, 0, 0]}


def test_of_equal_sums_the_earlier_hypothesis_comes_first(solution):
    says = "1 4 and 2 3 have equal sums: 1 stands before 2 in the beam, and comes first, whatever token follows."
    for n in (2, 3):
        assert_finds(solution, Tree(told=EQUAL), prompt(), n, 2, says)


def test_of_equal_scores_the_one_that_ended_first_wins(solution):
    told = {(): [0.5, 0, 0, 0.5, 0], (0,): [0, 0, 0, 1.0, 0]}
    says = "3 and 0 3 have equal scores, and 3 ended a step earlier."
    found, score, what = searched(solution, Tree(told=told), prompt(), 3, 2, eos=3)
    assert_equal(found, [3], f"the continuation of {what}", because=says)
    assert_score(score, math.log(0.5), what, says)


# --- never worse than greedy ---------------------------------------------------------------------

FALLS = {(): [0.4, 0.37, 0.23, 0, 0], (0,): [0.34, 0.33, 0.33, 0, 0], (1,): [0, 0.52, 0.48, 0, 0]}
FALLS |= {(0, 0): [0, 0, 0, 1.0, 0], (0, 0, 3): [0, 0, 0, 0, 1.0], (1, 1): [0.2] * 5, (1, 2): [0.2] * 5}


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_it_is_never_worse_than_greedy(solution, alpha):
    says = "Greedy's way falls out of the beam after two tokens and has the larger score in the end: it takes part."
    for n in (3, 4):
        assert_finds(solution, Tree("falls", told=FALLS), prompt(), n, 2, says, alpha=alpha)


# --- numbers -------------------------------------------------------------------------------------


def test_tokens_of_probability_zero_never_come(solution):
    told = {c: [0, 0.6, 0, 0.4, 0] for n in range(4) for c in itertools.product(range(V), repeat=n)}
    says = "A logit of -inf is a token that cannot come: its sum is -inf, and nothing becomes NaN."
    for beam_size in (1, 3, 9):
        assert_finds(solution, Tree(told=told), prompt(), 3, beam_size, says)


def test_large_logits_do_not_overflow(solution):
    says = "exp(89) is more than float32 can hold, so log_softmax takes the largest logit away first."
    assert_finds(solution, Tree("large", gain=100.0), prompt(), 3, 2, says)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_logits_may_be_of_another_float_type(solution, dtype):
    says = "Whatever type the logits have, log-probabilities are computed and added in float32 at least."
    for name in ("a", "b"):
        assert_finds(solution, Tree(f"type {name}", dtype=dtype), prompt(), 4, 3, says, eos=1, alpha=0.5)


# --- the model's calls ---------------------------------------------------------------------------


def test_what_has_ended_is_not_shown_to_the_model(solution):
    told = {(): [0.1, 0.1, 0.1, 0.6, 0.1]} | {(i,): [0, 0, 0, 1.0, 0] for i in range(V)}
    model = Tree("shown", told=told)
    searched(solution, model, prompt(), 5, 3, eos=3)
    new = [text[T:] for texts in model.shown for text in texts]
    observe("texts that the model is shown", sorted(map(list, new)))
    assert_true(
        not any(3 in text for text in new), "the model is shown a continuation that has ended already",
        because="What has ended leaves the beam, and when the beam is empty the search is over.",
    )
