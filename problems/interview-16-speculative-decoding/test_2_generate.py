"""Interview 16, second part: what generate promises, from cause to consequence.

Most models here are sure of each token, so that the text is known; the shares of the others' tokens are compared.

Shapes: T tokens, V vocab_size, k tokens drafted in a round.
"""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_equal,
    assert_identical,
    assert_raises,
    assert_shape,
    assert_tokens,
    assert_true,
    draw_ids,
    fail,
    observe,
)
from common.testing.generation import V, continued, rows, seeded

T = 5


def count_call(notes, call):
    """Note a call; one of thousands means that a loop does not end."""
    notes.append(call)
    if len(notes) > 3000:
        fail("generate calls its models again and again without an end:", expected="n_tokens rounds at most",
             got="more than 3000 calls", because="Each round adds at least one token, the target's own, and the loop "
             "ends when the text has T + n_tokens.")


class Sum(nn.Module):
    """A model that is sure of the next token, 1 + 1 * first + 2 * second + ... modulo V, or of another one.

    Args:
        notes: what is called is noted here, with the number of tokens that came.
        wrong: where the number above divides by this, the next token is that + 1; 0 is never.
    """

    def __init__(self, notes, name="target", wrong=0):
        super().__init__()
        self.sharp, self.graph = nn.Parameter(torch.tensor(200.0)), []
        self.notes, self.name, self.wrong = notes, name, wrong
        self.to(rows([0.0]).device)

    def forward(self, ids):
        count_call(self.notes, (self.name, ids.size(1)))
        tokens = (1 + (ids * torch.arange(1, ids.size(1) + 1, device=ids.device)).cumsum(1)) % V
        if self.wrong:
            tokens = (tokens + (tokens % self.wrong == 0)) % V
        logits = self.sharp * F.one_hot(tokens, V)
        self.graph.append(logits.requires_grad)
        return logits


class Same(nn.Module):
    """A model with the same distribution everywhere."""

    def __init__(self, *probs):
        super().__init__()
        self.logits, self.notes = nn.Parameter(rows(probs).log()[0]), []

    def forward(self, ids):
        count_call(self.notes, ids.size(1))
        return self.logits.expand(*ids.shape, -1)


DRAFTS = {"always right": 0, "sometimes right": 2, "never right": 1}
every_draft = pytest.mark.parametrize("draft", [*DRAFTS])


def prompt(length=T):
    return draw_ids("prompt", 1, length, vocab_size=V)


def written(solution, draft, n, k, ids=None):
    """The result, and which model was called with how many tokens."""
    notes, ids = [], prompt() if ids is None else ids
    out = solution.generate(Sum(notes), Sum(notes, "draft", DRAFTS[draft]), ids, n, k, seeded(1))
    what = f"generate with n_tokens={n}, k={k} and a draft that is {draft}"
    assert_shape(out, (1, ids.size(1) + n), what, because="It is the text with exactly n_tokens more behind it, "
                 "however many a round would yield.")
    observe(what, out)
    observe(f"calls of {what}", notes)
    return out, notes


def passes(notes, name):
    return [length for model, length in notes if model == name]


# --- what it returns, and what it leaves alone ---------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 6])
def test_the_text_comes_back_with_the_new_tokens(solution, n):
    ids = prompt()
    out, notes = written(solution, "sometimes right", n, 3, ids)
    assert_equal(out[:, :T].tolist(), ids.tolist(), "the beginning of the result", because="It begins with the text.")
    assert_equal(str(out.dtype), "torch.int64", "the dtype of the result", because="Token ids are int64.")
    assert_true(n > 0 or not notes, "with n_tokens=0 a model is called", because="There is nothing to ask it.")


def test_the_text_is_left_as_it_was(solution):
    ids = prompt()
    before = ids.clone()
    written(solution, "sometimes right", 6, 3, ids)
    assert_identical(ids, before, "after generate, the caller's ids",
                     because="They belong to the caller; torch.cat makes a new tensor.")


def test_no_gradients_are_kept(solution):
    target, draft = Sum([]), Sum([], "draft", 2)
    solution.generate(target, draft, prompt(), 6, 3, seeded(1))
    for name, model in (("target", target), ("draft", draft)):
        assert_true(not any(model.graph), f"the {name} builds a gradient graph while it generates",
                    because="Nothing is trained here, so both models work under torch.no_grad().")
    assert_true(torch.is_grad_enabled(), "generate leaves gradients switched off",
                because="torch.no_grad() as a decorator or in a with statement ends with the call.")
    with torch.no_grad():
        solution.generate(target, draft, prompt(), 2, 2, seeded(1))
        assert_true(not torch.is_grad_enabled(), "called under torch.no_grad(), generate leaves gradients switched on",
                    because="Afterwards gradients are as they were, on or off.")


# --- the rounds ----------------------------------------------------------------------------------


@every_draft
@pytest.mark.parametrize(("n", "k"), [(1, 2), (7, 1), (9, 3), (4, 6)])
def test_the_text_is_the_targets(solution, draft, n, k):
    ids = prompt()
    out, _ = written(solution, draft, n, k, ids)
    assert_tokens(
        out[:, T:], continued(ids, n, T + n), f"{n} new tokens with k={k} and a draft that is {draft}",
        because="The target is sure of each token here, so the text is what it says, whatever the draft proposes. Its "
        "logits at a position are about the token after it.",
    )


def test_a_text_may_begin_with_one_token(solution):
    ids = prompt(1)
    out, _ = written(solution, "sometimes right", 7, 2, ids)
    assert_tokens(out[:, 1:], continued(ids, 7, 8), "seven tokens after a single one",
                  because="One token is text enough: the target's logits at position 0 are about the next one.")


@pytest.mark.parametrize(("n", "k"), [(10, 3), (8, 3), (9, 1), (3, 5)])
def test_a_good_draft_saves_passes_of_the_target(solution, n, k):
    _, notes = written(solution, "always right", n, k)
    whole = [T + k + (k + 1) * i for i in range(math.ceil(n / (k + 1)))]
    assert_equal(
        passes(notes, "target"), [min(length, T + n - 1) for length in whole],
        f"for n_tokens={n}, k={k} and a draft that is always right, the list of lengths that the target reads",
        because="In each round it reads the text and the k drafted tokens in one pass, which yields k + 1 tokens; near "
        "the end fewer are drafted, as one of those that remain is always its own.",
    )
    assert_equal(
        len(passes(notes, "draft")), n - math.ceil(n / (k + 1)),
        f"for n_tokens={n}, k={k} and a draft that is always right, the number of calls of the draft",
        because="It is called once for each drafted token, at most k times a round, and each round adds one token that "
        "was not drafted.",
    )


def test_a_bad_draft_costs_no_more_passes_than_tokens(solution):
    _, notes = written(solution, "never right", 7, 3)
    assert_equal(
        len(passes(notes, "target")), 7, "for seven tokens and a draft that is never right, the number of passes of "
        "the target", because="Each round calls the target once, and yields a token of its own even if all that was "
        "drafted is rejected.",
    )


@every_draft
def test_no_model_sees_more_than_it_needs(solution, draft):
    for n, k in ((6, 4), (2, 4), (1, 3)):
        _, notes = written(solution, draft, n, k)
        longest = max(length for _, length in notes)
        assert_true(
            longest <= T + n - 1, f"for {T} tokens, n_tokens={n} and k={k} a model is given {longest} tokens",
            because="Nobody has to read the last new token, so T + n_tokens - 1 positions are enough: with r tokens to "
            "go, at most r - 1 are drafted.",
        )


@every_draft
def test_a_round_drafts_at_most_k_tokens(solution, draft):
    for k in (1, 3):
        _, notes = written(solution, draft, 9, k)
        runs = "".join("d" if model == "draft" else "t" for model, _ in notes).split("t")
        assert_true(
            max(map(len, runs)) <= k, f"with k={k} the draft is called {max(map(len, runs))} times in a round",
            because="A round drafts at most k tokens, with one call of the draft for each, and then asks the target.",
        )


# --- chance --------------------------------------------------------------------------------------


P, Q = (0.3, 0.5, 0.2, 0.0), (0.55, 0.2, 0.1, 0.15)


@pytest.mark.parametrize(("draft", "k"), [(Q, 2), (P, 3)], ids=["another draft", "the same model"])
def test_tokens_are_drawn_as_the_target_would(solution, draft, k):
    n = 600
    out = solution.generate(Same(*P), Same(*draft), torch.zeros(1, 1, dtype=torch.int64, device=rows(P).device), n, k,
                            seeded(2))
    assert_shape(out, (1, n + 1), f"generate with n_tokens={n}", because="Exactly n_tokens tokens come.")
    share = torch.bincount(out[0, 1:], minlength=4)[:4] / n
    observe("shares", share)
    if float((share - rows(P)[0]).abs().max()) >= 0.12:
        shown = [round(x, 2) for x in share.tolist()]
        fail(f"the shares of four tokens in a text of {n} are wrong:", expected=f"about {[*P]}", got=shown,
             because=f"They are the target's probabilities, though the draft's are {[*draft]}: drafted tokens are "
             "drawn from q, and accepted and replaced by that same q.")


def test_generate_repeats_itself_with_the_same_generator_state(solution):
    outs, ids = [], torch.zeros(1, 1, dtype=torch.int64, device=rows(P).device)
    for other in (1, 2):
        torch.manual_seed(other)
        outs.append(solution.generate(Same(*P), Same(*Q), ids, 40, 2, seeded(3)))
    assert_identical(outs[1], outs[0], "a text of 40 tokens, written again with a generator of the same seed,",
                     because="All randomness comes from the generator where one is given: draft and verify share it.")


@pytest.mark.parametrize("own", [True, False], ids=["a generator", "no generator"])
def test_each_call_writes_a_new_text(solution, own):
    generator, ids = seeded(4) if own else None, torch.zeros(1, 1, dtype=torch.int64, device=rows(P).device)
    first, second = (solution.generate(Same(*P), Same(*Q), ids, 40, 2, generator).tolist() for _ in range(2))
    assert_true(first != second, f"two calls in a row with {'one' if own else 'no'} generator give the same 40 tokens",
                because="Each call moves on in the stream of random numbers, which only its owner seeds.")


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, -2])
def test_a_round_without_drafts_is_refused(solution, k):
    because = "k is how many tokens are drafted in a round: 1 or more. The message names what came."
    with assert_raises(ValueError, f"generate with k={k}", naming=[k], because=because):
        solution.generate(Sum([]), Sum([], "draft"), prompt(), 3, k, seeded(1))


@pytest.mark.parametrize("shape", [(2, 5), (5,), (1,)], ids=str)
def test_ids_that_are_not_one_text_are_refused(solution, shape):
    because = "Texts accept different numbers of tokens, so generate takes one, (1, T); the message says what came."
    with assert_raises(ValueError, f"generate with ids of shape {shape}", naming=[shape], because=because):
        solution.generate(Sum([]), Sum([], "draft"), draw_ids("ids", *shape, vocab_size=V), 3, 2, seeded(1))
