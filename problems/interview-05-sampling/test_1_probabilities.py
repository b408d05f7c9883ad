"""Interview 05: what sampling_probabilities, sample and generate promise, from cause to consequence.

Shapes: B batch, T tokens, V vocab_size. Concrete random draws are the learner's own business: draws are
compared with bounds, or made certain (one token left), never with the reference's.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

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
    observe,
)

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


def kept(probs):
    """Which tokens have any probability, row by row."""
    return [[i for i, p in enumerate(row) if p > 0] for row in assert_tensor(probs, "the result").tolist()]


def nearest(probs, usual, otherwise):
    """The sentence of the usual wrong answer that these probabilities are."""
    for says, wrong in usual.items():
        if probs.shape == wrong.shape and bool(torch.isclose(probs.float(), wrong.float(), atol=1e-5, equal_nan=True).all()):
            return says
    return otherwise


# --- sampling_probabilities: softmax and temperature ---------------------------------------------


def test_there_is_a_probability_for_every_token(solution):
    probs = solution.sampling_probabilities(draw("logits", B, V))
    assert_shape(probs, (B, V), "sampling_probabilities(logits)", because="One probability for each token of each row: the shape of the logits.")
    assert_true(probs.is_floating_point(), f"the probabilities are of type {probs.dtype}, not float", because="They are probabilities, no ids and no mask.")


def test_without_options_it_is_the_softmax_of_each_row(solution):
    logits = draw("logits", B, V)
    probs = assert_tensor(solution.sampling_probabilities(logits), "the result")
    usual = {
        "These are log-probabilities: softmax, not log_softmax.": logits.log_softmax(-1),
        "The softmax runs over the batch: each row is a distribution of its own, so dim=-1.": logits.softmax(0),
        "These are the logits themselves: a softmax turns them into probabilities.": logits,
    }
    assert_close(probs, logits.softmax(-1), "sampling_probabilities(logits)", because=nearest(probs, usual, "With temperature 1, no top_k and no top_p, nothing is left to do but a softmax over the vocabulary."))


def test_large_logits_neither_overflow_nor_vanish(solution):
    logits = 300 * draw("large", B, V)
    assert_close(solution.sampling_probabilities(logits), logits.softmax(-1), "the probabilities for logits of several hundred", because="exp overflows beyond 88: use softmax, which subtracts the largest logit first.")


@pytest.mark.parametrize("temperature", [0.5, 4.0])
def test_the_temperature_divides_the_logits(solution, temperature):
    logits = draw("logits", B, V)
    probs = assert_tensor(solution.sampling_probabilities(logits, temperature=temperature), "the result")
    usual = {
        "The temperature is ignored: divide the logits by it before the softmax.": logits.softmax(-1),
        "You multiply by the temperature: divide, so that a high one makes the choice more even.": (logits * temperature).softmax(-1),
        "The probabilities are divided by the temperature: divide the logits, before the softmax.": logits.softmax(-1) / temperature,
    }
    assert_close(probs, (logits / temperature).softmax(-1), f"the probabilities for temperature={temperature}", because=nearest(probs, usual, "They are softmax(logits / temperature)."))


def test_temperature_zero_is_greedy(solution):
    logits = draw("logits", B, V)
    best = F.one_hot(logits.argmax(-1), V).float()
    probs = assert_tensor(solution.sampling_probabilities(logits, temperature=0), "the result")
    says = "There is a division by zero: treat temperature 0 apart." if bool(probs.isnan().any()) else "The largest logit of each row gets probability 1, and all others 0."
    assert_close(probs.float(), best, "the probabilities for temperature=0", because=says, atol=0, rtol=0)
    probs = solution.sampling_probabilities(logits, temperature=0.0, top_k=4, top_p=0.7)
    assert_close(probs.float(), best, "the probabilities for temperature=0.0, top_k=4, top_p=0.7", because="Greedy stays greedy: the most likely token survives top_k and top_p.", atol=0, rtol=0)


def test_greedy_takes_the_first_of_equals(solution):
    probs = solution.sampling_probabilities(rows([1.0, 4.0, 4.0, -INF, 4.0], [-INF, -INF, -2.0, -3.0, -2.0]), temperature=0)
    assert_shape(probs, (2, 5), "the probabilities of 5 tokens for temperature=0", because="There is a probability for every token, also for those after the largest: one_hot takes the number of classes.")
    assert_close(probs.sum(-1).float(), rows(1.0, 1.0), "for temperature=0 and equal logits, the sum of each row", because="The first of the largest gets probability 1.")
    assert_equal(kept(probs), [[1], [2]], "for temperature=0 and logits (1, 4, 4, -inf, 4) and (-inf, -inf, -2, -3, -2), the list of tokens with any probability", because="Of the largest logits the first gets everything: `argmax` finds it, `logits == logits.max()` finds all.")


# --- sampling_probabilities: top_k ---------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4])
def test_top_k_keeps_the_k_largest_of_each_row(solution, k):
    logits = draw("logits", B, V)
    probs = solution.sampling_probabilities(logits, top_k=k)
    expected = [sorted(row.topk(k).indices.tolist()) for row in logits]
    got = kept(probs)
    counts = [len(row) for row in got]
    if counts == [V] * B:
        says = "All tokens have some probability: a removed token has exactly 0, which softmax gives for a logit of -inf, and for no other."
    elif counts == [k + 1] * B:
        says = "One token too many is left: the k-th largest is at index k - 1."
    elif counts == [k] * B:
        says = "The number is right, the choice is not: are these the k smallest, or positions in the sorted order instead of tokens?"
    else:
        says = "The threshold is the row's own k-th largest logit: (B, 1), not one number for the whole batch."
    assert_equal(got, expected, f"for top_k={k}, the list of tokens with any probability in each row", because=says)


def test_what_top_k_leaves_is_a_distribution_again(solution):
    logits = draw("logits", B, V)
    probs = assert_tensor(solution.sampling_probabilities(logits, top_k=4, temperature=2.0), "the result")
    alone = (logits / 2).masked_fill(logits < logits.topk(4).values[:, -1:], -INF)
    usual = {
        "The kept tokens still have their old probabilities: set the others to -inf before the softmax, or divide by the sum.": (logits / 2).softmax(-1) * (alone > -INF),
        "The temperature is lost when top_k is given.": (2 * alone).softmax(-1),
        "The kept tokens share evenly: they keep their logits.": (alone > -INF).float() / 4,
    }
    assert_close(probs, alone.softmax(-1), "the probabilities for top_k=4 and temperature=2", because=nearest(probs, usual, "They are the softmax over the tokens that are kept."))


def test_ties_with_the_kth_logit_stay(solution):
    logits = rows([1.0, 3.0, 2.0, 2.0, 0.0], [5.0, 5.0, 5.0, 5.0, -1.0])
    probs = solution.sampling_probabilities(logits, top_k=2)
    assert_equal(kept(probs), [[1, 2, 3], [0, 1, 2, 3]], "for top_k=2 and logits (1, 3, 2, 2, 0) and (5, 5, 5, 5, -1), the list of tokens with any probability", because="What ties with the k-th logit stays: compare with its value, logits < kth, instead of keeping the indices of topk.")


def test_top_k_works_wherever_the_logits_lie(solution):
    logits = rows([-90000.0, -90001.0, -90003.0, -90002.0])
    says = "Only the differences between logits matter. A removed logit becomes -inf: any finite number, 0 or -1e4, may be above those that are kept."
    assert_equal(kept(solution.sampling_probabilities(logits, top_k=2)), [[0, 1]], "for logits (-90000, -90001, -90003, -90002) and top_k=2, the list of tokens with any probability", because=says)


@pytest.mark.parametrize("k", [V, V + 1, 50])
def test_top_k_of_the_vocabulary_or_more_keeps_all(solution, k):
    logits = draw("logits", B, V)
    assert_close(solution.sampling_probabilities(logits, top_k=k), logits.softmax(-1), f"the probabilities of {V} tokens for top_k={k}", because="A top_k above V keeps every token: topk(min(top_k, V)).")


# --- sampling_probabilities: top_p ---------------------------------------------------------------

FOUR = [0.15, 0.5, 0.05, 0.3]  # adding up from the most likely: 0.5, 0.8, 0.95, 1


@pytest.mark.parametrize(("p", "tokens"), [(0.4, [1]), (0.7, [1, 3]), (0.9, [0, 1, 3]), (0.97, [0, 1, 2, 3])])
def test_top_p_keeps_the_smallest_set_that_reaches_p(solution, p, tokens):
    probs = solution.sampling_probabilities(logs(FOUR), top_p=p)
    got = kept(probs)[0]
    if not got:
        says = "Nothing is left: the most likely token stays, also where it alone is above p."
    elif len(got) < len(tokens):
        says = "The token that crosses p is missing: the kept tokens together have to reach p, so keep a token if those before it are still below p."
    elif len(got) > len(tokens):
        says = "More is left than needed: a token goes, to exactly 0, if the more likely ones reach p without it."
    else:
        says = "The number is right, the tokens are not: either the least likely are kept, or the mask in sorted order was not carried back to the tokens' own places (scatter)."
    assert_equal(got, tokens, f"for probabilities {tuple(FOUR)} and top_p={p}, the list of tokens with any probability", because=says)


def test_what_top_p_leaves_is_a_distribution_again(solution):
    probs = assert_tensor(solution.sampling_probabilities(logs(FOUR), top_p=0.7), "the result")
    usual = {
        "The kept probabilities are not divided by their sum: they add up to 0.8.": rows([0.0, 0.5, 0.0, 0.3]),
        "The kept tokens share evenly: they keep their proportions.": rows([0.0, 0.5, 0.0, 0.5]),
    }
    assert_close(probs, rows([0.0, 0.625, 0.0, 0.375]), f"the probabilities for {tuple(FOUR)} and top_p=0.7", because=nearest(probs, usual, "0.5 and 0.3 are kept and divided by their sum, 0.8."))


def test_each_row_has_its_own_nucleus(solution):
    together = logs(FOUR, [0.02, 0.03, 0.91, 0.04], [0.33, 0.17, 0.27, 0.23])
    got = kept(solution.sampling_probabilities(together, top_p=0.8001))
    assert_equal(got, [[0, 1, 3], [2], [0, 2, 3]], "for three rows and top_p=0.8001, the list of tokens with any probability in each", because="Sort, add up and cut along the vocabulary, dim=-1, and bring each row back by its own order: gather or scatter along dim=-1.")


def test_top_p_of_one_keeps_even_the_rarest_token(solution):
    logits = rows([0.0, -12.0, -25.0, -1.0, -20.0])
    got = kept(solution.sampling_probabilities(logits, top_p=1.0))
    assert_equal(got, [[0, 1, 2, 3, 4]], "for logits (0, -12, -25, -1, -20) and top_p=1.0, the list of tokens with any probability", because="top_p=1.0 keeps all. In float32 the sum reaches 1 before the rarest tokens are added, and they are cut: skip top_p at 1.")


def test_top_p_looks_at_what_the_temperature_made(solution):
    logits = 2 * logs([0.5, 0.3, 0.15, 0.05])
    got = kept(solution.sampling_probabilities(logits, temperature=2.0, top_p=0.9))[0]
    says = "The temperature comes first: the nucleus is measured on softmax(logits / temperature), here (0.5, 0.3, 0.15, 0.05)."
    assert_equal(got, [0, 1, 2], "for temperature=2.0 and top_p=0.9, the list of tokens with any probability", because=says)


def test_top_p_looks_at_what_top_k_left(solution):
    probs = assert_tensor(solution.sampling_probabilities(logs([0.1, 0.4, 0.2, 0.3]), top_k=2, top_p=0.5), "the result")
    says = "top_k leaves 0.4 and 0.3, and their softmax is (4/7, 3/7): the first alone reaches 0.5. Measure the nucleus after top_k, on a distribution that sums to 1."
    assert_equal(kept(probs)[0], [1], "for probabilities (0.1, 0.4, 0.2, 0.3), top_k=2 and top_p=0.5, the list of tokens with any probability", because=says)
    probs = solution.sampling_probabilities(logs([0.1, 0.4, 0.2, 0.3]), top_k=3, top_p=0.75)
    assert_close(probs, rows([0.0, 4 / 7, 0.0, 3 / 7]), "the probabilities for (0.1, 0.4, 0.2, 0.3), top_k=3 and top_p=0.75", because="top_k=3 leaves (4/9, 2/9, 3/9), of which 4/9 and 3/9 reach 0.75, and share everything.")


# --- sampling_probabilities: at the edges --------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7}, {"top_k": 2}, {"top_k": 4}, {"top_p": 0.6}, {"top_k": 3, "top_p": 0.95}], ids=str)
def test_a_logit_of_minus_infinity_has_probability_zero(solution, options):
    logits = rows([-INF, 2.0, -INF, 1.9, -INF])
    scores = logits / options.get("temperature", 1.0)
    probs = solution.sampling_probabilities(logits, **options)
    says = "A logit of -inf is a token that cannot come: probability 0, no NaN. -inf - (-inf) and 0 * inf are NaN: mask with masked_fill or where, and let softmax do the rest."
    assert_close(probs, scores.softmax(-1), f"the probabilities for logits (-inf, 2, -inf, 1.9, -inf) and {options or 'no options'}", because=says)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"temperature": -0.5}, "-0.5"), ({"temperature": -2}, "-2"), ({"top_k": 0}, "0"), ({"top_k": -3}, "-3"), ({"top_p": 0.0}, "0"), ({"top_p": -0.25}, "-0.25"), ({"top_p": 1.5}, "1.5")], ids=str,
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused(solution, options, named):
    (name, value), = options.items()
    limits = {"temperature": "at least 0", "top_k": "at least 1", "top_p": "above 0 and at most 1"}
    with assert_raises(ValueError, f"sampling_probabilities(logits, {name}={value})", naming=[named], because=f"{name} is {limits[name]}; say in the message what came instead. Compare with `is not None`: 0 is a value, and not None."):
        solution.sampling_probabilities(draw("logits", B, V), **options)


@pytest.mark.parametrize("options", [{}, {"temperature": 0.5}, {"temperature": 0}, {"top_k": 2}, {"top_p": 0.5}], ids=str)
def test_the_logits_are_left_as_they_were(solution, options):
    logits = draw("logits", B, V)
    before = logits.clone()
    solution.sampling_probabilities(logits, **options)
    assert_identical(logits, before, f"after a call with {options or 'no options'}, the caller's logits", because="You change the tensor that was passed in: `/=`, masked_fill_ and assignment to logits[...] work in place.")


# --- sample --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, B])
def test_sample_gives_one_id_for_each_row(solution, size):
    ids = solution.sample(draw("logits", size, V), generator=seeded(1))
    assert_shape(ids, (size,), f"sample of {size} row{'s' if size > 1 else ''}", because="One id for each row, (B,), also for a batch of 1: squeeze(-1), as plain squeeze() removes every axis of size 1.")
    assert_equal(str(ids.dtype), "torch.int64", "the dtype of what sample returns", because="Token ids are int64.")


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 1}, {"top_p": 0.01}], ids=str)
def test_sample_has_no_choice_where_one_token_is_left(solution, options):
    logits = 0.5 * draw("flat", 60, V)
    ids = solution.sample(logits, **options, generator=seeded(2))
    right = int((assert_tensor(ids, "the result") == logits.argmax(-1)).sum())
    observe("sample takes the most likely token", "always" if right == 60 else "often" if right > 30 else "sometimes" if right else "never")
    name = next(iter(options))
    if right < 60:
        fail(f"sample with {name}={options[name]} draws other tokens than the most likely:", expected="60 of 60 rows", got=f"{right} of 60 rows", because=f"Only one token has any probability then: hand {name} on to sampling_probabilities.")


def test_sample_hands_the_temperature_on(solution):
    ids = solution.sample(rows([3.0, 0.0]).repeat(400, 1), temperature=1000.0, generator=seeded(3))
    rare = int((assert_tensor(ids, "the result") == 1).sum())
    observe("high temperature", 120 < rare < 280)
    if not 120 < rare < 280:
        fail("sample with temperature=1000 does not choose evenly between two tokens:", expected="about 200 of 400 draws for each", got=f"{rare} for the less likely one", because="At a high temperature all tokens are almost equally likely: hand temperature on to sampling_probabilities.")


def test_each_row_has_a_draw_of_its_own(solution):
    different = len(set(solution.sample(torch.zeros(50, V, device=draw("d", 1).device), generator=seeded(4)).tolist()))
    observe("draws differ between rows", different > 1)
    if different == 1:
        fail("50 equal rows all get the same token:", expected="an independent draw for each row", got="one for all", because="Draw one random number for each row, or this is no draw at all but an argmax.")


def test_each_row_draws_from_its_own_probabilities(solution):
    logits = torch.full((4, V), -INF, device=draw("d", 1).device)
    for row, token in enumerate((7, 0, 12, 3)):
        logits[row, token] = 1.0
    ids = solution.sample(logits, generator=seeded(5))
    assert_equal(assert_tensor(ids, "the result").tolist(), [7, 0, 12, 3], "sample of four rows with one possible token each", because="Row b of the result is drawn from row b of the probabilities.")


def test_draws_follow_the_probabilities(solution):
    probs = rows([0.45, 0.0, 0.3, 0.15, 0.1])
    n = 3000
    ids = assert_tensor(solution.sample(probs.log().repeat(n, 1), generator=seeded(6)), "the result")
    share = torch.bincount(ids, minlength=5).float() / n
    worst = float((share - probs[0]).abs().max())
    usual = {
        "The probabilities were made even: hand multinomial the probabilities themselves.": (probs > 0).float() / 4,
        "The probabilities were put through another softmax: multinomial takes probabilities.": probs.softmax(-1),
        "Always the most likely token: that is greedy, not a draw.": rows([1.0, 0.0, 0.0, 0.0, 0.0]),
    }
    says = next((s for s, p in usual.items() if float((share - p).abs().max()) < 0.05), "The share of each token among many draws comes close to its probability.")
    label = "right" if worst < 0.05 else says
    observe("shares", label)
    if worst >= 0.05 or float(share[1]) > 0:
        fail(f"the shares of the tokens among {n} draws are wrong:", expected=f"about {[round(p, 2) for p in probs[0].tolist()]}", got=[round(p, 2) for p in share.tolist()], because=says if worst >= 0.05 else "Token 1 has probability 0 and must never be drawn.")


def test_the_temperature_is_1_unless_it_is_given(solution):
    logits = draw("many", 400, V)
    default, one = (solution.sample(logits, generator=seeded(8), **options) for options in ({}, {"temperature": 1.0}))
    assert_identical(default, one, "400 tokens of sample without a temperature, and with temperature=1.0 and the same seed,", because="The default of temperature is 1.0.")
    ids = torch.zeros(200, 1, dtype=torch.int64, device=draw("d", 1).device)
    default, one = (solution.generate(Sum(sharp=2.0).eval(), ids, 5, 20, generator=seeded(9), **options) for options in ({}, {"temperature": 1.0}))
    assert_identical(default, one, "200 texts of generate without a temperature, and with temperature=1.0 and the same seed,", because="The default of temperature is 1.0.")


def test_sample_repeats_itself_with_the_same_generator_state(solution):
    logits = draw("flat", 40, V)
    torch.manual_seed(1)
    first = solution.sample(logits, generator=seeded(7)).tolist()
    torch.manual_seed(2)
    second = solution.sample(logits, generator=seeded(7)).tolist()
    assert_true(first == second, "two calls of sample with generators of one seed give different tokens", because="The draws ignore the generator: pass generator=generator to the function that draws.")


@pytest.mark.parametrize("own", [True, False], ids=["a generator", "no generator"])
def test_sample_gives_new_draws_each_time(solution, own):
    logits, generator = draw("flat", 40, V), seeded(8) if own else None
    first, second = (solution.sample(logits, generator=generator).tolist() for _ in range(2))
    what = "one generator" if own else "no generator"
    assert_true(first != second, f"two calls in a row with {what} give the same 40 tokens", because="Each call moves on in the stream of random numbers: no seed is set inside of sample.")


# --- generate ------------------------------------------------------------------------------------


class Sum(nn.Module):
    """A language model whose likeliest next token is known: 1 + 1 * first + 2 * second + ... modulo V.

    It notes how many tokens it saw, in which mode, and whether gradients were on.
    """

    def __init__(self, sharp=50.0):
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(sharp))
        self.lengths, self.modes, self.graphs = [], [], []
        self.to(draw("d", 1).device)

    def forward(self, ids):
        self.lengths.append(ids.size(1))
        self.modes.append(self.training)
        places = torch.arange(1, ids.size(1) + 1, device=ids.device)
        logits = self.sharp * F.one_hot((1 + (ids * places).cumsum(1)) % V, V)
        self.graphs.append(logits.requires_grad)
        return logits


def continued(ids, n_tokens, max_context):
    """What the model above says, in plain Python."""
    texts = [list(row) for row in ids.tolist()]
    for text in texts:
        for _ in range(n_tokens):
            text.append((1 + sum(i * token for i, token in enumerate(text[-max_context:], 1))) % V)
    return texts


def prompt(size=B, length=T):
    return draw_ids("prompt", size, length, vocab_size=V)


@pytest.mark.parametrize(("size", "n"), [(B, 4), (1, 2)])
def test_generate_returns_the_prompt_and_the_new_tokens(solution, size, n):
    ids = prompt(size)
    out = solution.generate(Sum().eval(), ids, n, 20, generator=seeded(1))
    assert_shape(out, (size, T + n), f"generate(model, ids, n_tokens={n}) for ids of shape {(size, T)}", because="The prompt with n_tokens more at its end: cat the draw, as (B, 1), to what is there, along dim=1.")
    assert_equal(out[:, :T].tolist(), ids.tolist(), "the beginning of what generate returns", because="The result begins with the whole prompt, unchanged.")
    assert_equal(str(out.dtype), "torch.int64", "the dtype of what generate returns", because="Token ids are int64.")


@pytest.mark.parametrize("options", [{}, {"temperature": 0}], ids=["drawn", "greedy"])
def test_each_token_follows_from_all_before_it(solution, options):
    # Without options the likeliest token has all but 1e-20 of the probability, so a draw has no choice either.
    ids = prompt()
    out = assert_tensor(solution.generate(Sum().eval(), ids, 6, 20, **options, generator=seeded(2)), "the result").tolist()
    expected = continued(ids, 6, 20)
    if [row[T] for row in out] != [row[T] for row in expected]:
        says = "Already the first new token is wrong: it comes from the logits of the last position, logits[:, -1]."
    else:
        says = "The first new token is right and later ones are not: each new token joins the context of the next."
    assert_equal(out, expected, "prompt and new tokens", because=says)


@pytest.mark.parametrize("max_context", [1, 3, T, 7])
def test_the_model_sees_the_last_max_context_tokens(solution, max_context):
    ids, model = prompt(), Sum().eval()
    out = assert_tensor(solution.generate(model, ids, 5, max_context, temperature=0), "the result")
    longest = max(model.lengths, default=0)
    observe("the longest context", longest)
    if longest > max_context:
        fail(f"the model is given more than max_context={max_context} tokens:", expected=f"at most {max_context}", got=longest, because="It has no positions for more: ids[:, -max_context:], in each pass of the loop.")
    assert_equal(out.shape[1], T + 5, f"the length of what generate returns for max_context={max_context}", because="Only what the model sees is cropped; the result keeps the whole text.")
    assert_equal(out.tolist(), continued(ids, 5, max_context), f"prompt and new tokens for max_context={max_context}", because="The model sees the last max_context tokens, or all while there are fewer: ids[:, -max_context:].")


@pytest.mark.parametrize("options", [{"temperature": 0}, {"top_k": 1}, {"top_p": 0.01}], ids=str)
def test_generate_hands_its_options_on(solution, options):
    ids = prompt()
    out = solution.generate(Sum(sharp=0.7).eval(), ids, 8, 20, **options, generator=seeded(3))
    right = assert_tensor(out, "the result").tolist() == continued(ids, 8, 20)
    name = next(iter(options))
    assert_true(right, f"generate with {name}={options[name]} takes other tokens than the most likely", because=f"Only one token has any probability then: hand {name} on to sample.")


def test_generate_hands_a_high_temperature_on(solution):
    ids = prompt()
    out = solution.generate(Sum(sharp=20.0).eval(), ids, 8, 20, temperature=1000.0, generator=seeded(4))
    assert_true(assert_tensor(out, "the result").tolist() != continued(ids, 8, 20), "generate with temperature=1000 takes the most likely token every time", because="At a high temperature all tokens are almost equally likely: hand temperature on to sample.")


def test_generate_has_a_temperature_of_one_unless_told(solution):
    # The likeliest token has e^2 / (e^2 + 12) = 0.38 of the probability.
    ids = prompt(1).repeat(1500, 1)
    out = assert_tensor(solution.generate(Sum(sharp=2.0).eval(), ids, 1, 20, generator=seeded(7)), "the result")
    share = float((out[:, -1] == continued(ids[:1], 1, 20)[0][-1]).float().mean())
    observe("share of the likeliest token", "right" if 0.3 < share < 0.46 else "low" if share < 0.3 else "high")
    if not 0.3 < share < 0.46:
        fail("generate without options does not draw from the softmax of the logits:", expected="the likeliest token in about 38 % of 1500 rows", got=f"{share:.0%}", because="The defaults are temperature=1.0, no top_k and no top_p: sample draws from the whole distribution then.")


def test_generate_repeats_itself_with_the_same_generator_state(solution):
    outs = []
    for other in (1, 2):
        torch.manual_seed(other)
        outs.append(solution.generate(Sum(sharp=0.1).eval(), prompt(), 9, 20, generator=seeded(5)).tolist())
    assert_true(outs[0] == outs[1], "two calls of generate with generators of one seed give different texts", because="Hand the generator on to sample in each step.")


def test_equal_prompts_go_different_ways(solution):
    ids = torch.ones(6, 2, dtype=torch.int64, device=draw("d", 1).device)
    out = solution.generate(Sum(sharp=0.0).eval(), ids, 9, 20, generator=seeded(6)).tolist()
    assert_true(len({tuple(row) for row in out}) > 1, "six equal prompts are continued in the same way", because="The rows are independent: each has a draw of its own in each step.")
    constant = all(len(set(row[2:])) == 1 for row in out)
    assert_true(not constant, "each text repeats one token to its end", because="Each step is a new draw: set no seed in the loop.")


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_the_model_works_in_eval_mode_and_gets_its_mode_back(solution, training):
    model = Sum().train(training)
    solution.generate(model, prompt(), 3, 20, temperature=0)
    assert_true(not any(model.modes), "the model is in training mode while it generates", because="Dropout would disturb each token: call model.eval() before the loop.")
    assert_equal(model.training, training, f"model.training after generate, for a model that was in {'training' if training else 'eval'} mode,", because="Leave the mode as you found it: remember model.training, and end with model.train(was_training).")


def test_no_gradients_are_kept(solution):
    model = Sum().eval()
    solution.generate(model, prompt(), 3, 20, temperature=0)
    assert_true(not any(model.graphs), "the model builds a gradient graph while it generates", because="Nothing is trained here: put the loop under torch.no_grad(), or the decorator on the function.")
    assert_true(torch.is_grad_enabled(), "generate leaves gradients switched off", because="Use torch.no_grad() as a context manager or decorator, so that it ends.")


@pytest.mark.parametrize("training", [True, False], ids=["training", "eval"])
def test_no_new_tokens_leave_the_prompt(solution, training):
    ids, model = prompt(), Sum().train(training)
    out = assert_tensor(solution.generate(model, ids, 0, 3), "the result")
    assert_equal(out.tolist(), ids.tolist(), "generate with n_tokens=0 and max_context=3", because="n_tokens=0 gives the prompt back, whole.")
    assert_equal(model.training, training, "model.training after generate with n_tokens=0", because="Leave the mode as you found it, also where there is nothing to do.")


def test_the_prompt_is_left_as_it_was(solution):
    ids = prompt()
    before = ids.clone()
    solution.generate(Sum().eval(), ids, 4, 2, temperature=0)
    assert_identical(ids, before, "after generate, the caller's ids", because="You write into the prompt: make new tensors with cat instead.")
