"""Interview 16, first part: what residual and verify promise, from cause to consequence.

Where chance has no say, as p is 0 or not below q, results are compared token by token. Shares are those of thousands
of texts that are verified in one call, and may be off by six standard deviations.

Shapes: B texts, k drafted tokens, V vocab_size.
"""

import pytest
import torch
import torch.nn.functional as F

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_raises,
    assert_shape,
    assert_tensor,
    assert_true,
    draw,
    fail,
    observe,
)
from common.testing.elsewhere import DevicesDiffer, elsewhere
from common.testing.generation import rows, seeded

V, MANY = 7, 4000
CALL = "verify(p, q, drafted)"


def some_probabilities(name, *leading, vocab=V):
    return (1.5 * draw(name, *leading, vocab)).softmax(-1)


def verified(solution, p, q, drafted, seed=1):
    """What verify gives, seen whole by a diagnosis, whatever the check asks of it."""
    pair = solution.verify(p, q, drafted, seeded(seed))
    assert_true(isinstance(pair, tuple | list) and len(pair) == 2, f"{CALL} does not return two tensors",
                because="Tokens and counts both go back: `return tokens, counts`.")
    (tokens, counts), (B, k) = pair, drafted.shape
    assert_shape(tokens, (B, k + 1), "the tensor of tokens",
                 because="Each text has room for k accepted tokens and one more, (B, k + 1), also where k is 0.")
    assert_shape(counts, (B,), "the tensor of counts", because="Each text has one number of tokens: (B,).")
    observe("tokens", tokens)
    observe("counts", counts)
    return tokens, counts


# --- residual ------------------------------------------------------------------------------------


@pytest.mark.parametrize("leading", [(), (3,), (2, 4)], ids=str)
def test_the_residual_is_what_p_has_in_excess(solution, leading):
    p, q = some_probabilities("p", *leading), some_probabilities("q", *leading)
    excess = torch.where(p > q, p - q, 0.0)
    assert_close(
        solution.residual(p, q), excess / excess.sum(-1, keepdim=True), f"residual(p, q) of shape {(*leading, V)}",
        because="It is the positive part of p - q, which the first draw leaves open, scaled to sum to 1 in each row: a "
        "token of which the draft has too much has 0.",
    )


def test_equal_rows_have_p_for_a_residual(solution):
    p, q = some_probabilities("p", 3), some_probabilities("q", 3)
    q[1] = p[1]
    excess = torch.where(p > q, p - q, 0.0)
    right = torch.stack([p[1] if row == 1 else excess[row] / excess[row].sum() for row in range(3)])
    assert_close(
        solution.residual(p, q), right, "residual(p, q) of three rows, of which p and q share the second,",
        because="Where p - q has no positive part there is nothing to scale, as 0 / 0 is NaN: it is p there, and in "
        "other rows what it is without that.",
    )


def test_a_draft_of_zeros_takes_nothing_away(solution):
    p = some_probabilities("p", 3)
    assert_close(solution.residual(p, torch.zeros_like(p)), p, "residual(p, zeros)",
                 because="p has all of itself in excess of 0.")


# --- verify: what it returns, and what it leaves alone -------------------------------------------


def some_round(B=5, k=3, dtype=torch.float32):
    """p, q, drafted."""
    p, q = some_probabilities("p", B, k + 1).to(dtype), some_probabilities("q", B, k).to(dtype)
    return p, q, torch.multinomial(q.flatten(0, 1), 1, generator=seeded(2)).view(B, k) if k else q.new_empty(
        B, 0, dtype=torch.int64)


def test_inputs_are_left_as_they_were(solution):
    p, q, drafted = some_round()
    assert_input_untouched(solution.residual, p[:, :3], q, what="residual(p, q)")
    assert_input_untouched(solution.verify, p, q, drafted, what=CALL)


@pytest.mark.parametrize(("B", "k"), [(5, 3), (1, 1), (4, 0)])
def test_verify_gives_tokens_and_counts(solution, B, k):
    p, q, drafted = some_round(B, k)
    tokens, counts = verified(solution, p, q, drafted)
    assert_equal([str(tokens.dtype), str(counts.dtype)], ["torch.int64", "torch.int64"],
                 "the list of the dtypes of tokens and counts", because="Both are whole numbers, int64.")
    assert_equal(
        [((0 <= row) & (row < V)).tolist() for row in tokens], [[j < n for j in range(k + 1)] for n in counts.tolist()],
        f"for {k} drafted tokens, the list that says where tokens of the vocabulary stand",
        because="There are counts[b] tokens in row b, and at least one.",
    )
    assert_true(bool(((tokens >= 0) | (tokens == -1)).all()), "behind the tokens stands something else than -1",
                because="What is behind the last token of a text is -1.")


@pytest.mark.parametrize("places", [3, 5])
def test_p_has_one_place_more_than_drafted(solution, places):
    _, q, drafted = some_round(4, 3)
    p = some_probabilities("other", 4, places)
    because = "There is a p for each of the k drafted tokens, and one behind them: k + 1."
    with assert_raises(ValueError, f"verify with 3 drafted tokens and {places} places of p", because=because):
        solution.verify(p, q, drafted, seeded(1))


# --- verify: where chance has no say -------------------------------------------------------------


def sure(tokens):
    """Probabilities that leave no choice."""
    return F.one_hot(tokens, V).float()


def test_what_both_hold_for_equally_likely_is_accepted(solution):
    _, q, drafted = some_round(60, 3)
    last = torch.arange(60, device=q.device).remainder(V)
    tokens, counts = verified(solution, torch.cat([q, sure(last)[:, None]], 1), q, drafted)
    assert_equal(sorted(set(counts.tolist())), [4], "for p equal to q and k = 3, the list of counts that occur",
                 because="The chance is p / q = 1, so all are accepted, and one more token follows.")
    assert_equal(
        tokens.tolist(), torch.cat([drafted, last[:, None]], 1).tolist(), "for p equal to q, the list of tokens",
        because="They are the drafted ones, in their order, and behind them one of the last row of p.",
    )


def test_what_the_target_likes_better_is_accepted(solution):
    # Token 0 has 0.5 of p and 0.2 of q, wherever it is drafted.
    p, q = rows([0.5, 0.2, 0.3], [0.2, 0.6, 0.2]).repeat(60, 1, 1).split(1, dim=1)
    drafted = torch.zeros(60, 2, dtype=torch.int64, device=p.device)
    _, counts = verified(solution, p.repeat(1, 3, 1), q.repeat(1, 2, 1), drafted)
    assert_equal(
        sorted(set(counts.tolist())), [3], "for p = 0.5 and q = 0.2 of the drafted tokens, the list of counts",
        because="The chance to be accepted is min(1, p / q), and p / q is above 1 here.",
    )


@pytest.mark.parametrize("k", [1, 4])
def test_tokens_count_up_to_the_first_rejection(solution, k):
    wanted = torch.arange(6 * (k + 1), device=draw("d", 1).device).view(6, k + 1).mul(3).remainder(V)
    drafted = wanted[:, :k].clone()
    for row in range(6):  # row 0 is right, the others are wrong at one place or more
        drafted[row, [place for place in range(k) if row and (place + 1) % row == 0]] += 1
    drafted = drafted % V
    q = torch.full((6, k, V), 1 / V, device=drafted.device)
    tokens, counts = verified(solution, sure(wanted), q, drafted)
    first = [next((j for j in range(k) if drafted[row, j] != wanted[row, j]), k) for row in range(6)]
    assert_equal(
        counts.tolist(), [n + 1 for n in first], "for a target that is sure of each token, the list of counts",
        because="A drafted token with p = 0 is never accepted, and ends the text's round: those before it count, and "
        "one more, and none behind it, good or not.",
    )
    assert_equal(
        tokens.tolist(), [wanted[row, : n + 1].tolist() + [-1] * (k - n) for row, n in enumerate(first)],
        "for a target that is sure of each token, the list of tokens",
        because="The drafted tokens stand in front, then the target's own one at the place of the first rejection, or "
        "behind the draft if there was none, then -1.",
    )


def test_a_rejected_token_is_replaced_from_the_residual_of_its_place(solution):
    # At place j: p has 0.5 of j and of j + 1, q has 0.2 of j, 0.6 of j + 1, 0.2 of j + 2. Only j is in excess.
    k, n = 3, torch.arange(120, device=draw("d", 1).device).remainder(3)
    p, q = (torch.stack([rows([*share, *[0.0] * (V - len(share))])[0].roll(j) for j in range(k + 1)])
            for share in ([0.5, 0.5], [0.2, 0.6, 0.2]))
    drafted = torch.arange(k, device=n.device).repeat(120, 1)
    drafted = drafted + 2 * (drafted >= n[:, None])  # accepted before place n, and impossible from there on
    tokens, counts = verified(solution, p.repeat(120, 1, 1), q[:k].repeat(120, 1, 1), drafted)
    assert_equal(counts.tolist(), (n + 1).tolist(), "the list of counts", because="Tokens with p above q are accepted, "
                 "and the first one with p = 0 is not.")
    assert_equal(
        tokens.gather(1, n[:, None])[:, 0].tolist(), n.tolist(), "the list of tokens that replace the rejected ones",
        because="They come from the positive part of p - q at their place, where one token is left: one of which the "
        "draft has more than the target was offered often enough.",
    )


# --- verify: chances and shares ------------------------------------------------------------------


def assert_shares(found, expected, what, because, off=0.05):
    """Check that in many draws each thing comes about as often as it should."""
    observe(f"share: {what}", found)
    if float((found - expected).abs().max()) >= off:
        shown = [[round(x, 2) for x in values.tolist()] for values in (expected, found)]
        fail(f"{what}, are wrong:", expected=f"about {shown[0]}", got=shown[1], because=because)


def test_the_chance_to_be_accepted_is_p_over_q(solution):
    p, q = rows([0.3, 0.5, 0.2], [0.75, 0.15, 0.1]).repeat(MANY, 1, 1).split(1, dim=1)
    drafted = torch.zeros(MANY, 2, dtype=torch.int64, device=p.device)
    _, counts = verified(solution, p.repeat(1, 3, 1), q.repeat(1, 2, 1), drafted)
    assert_shares(
        torch.bincount(counts, minlength=4)[1:] / MANY, rows([0.6, 0.24, 0.16])[0],
        f"for drafted tokens with p = 0.3 and q = 0.75, k = 2, the shares of counts 1, 2 and 3 among {MANY} texts",
        "Each is accepted with the chance p / q = 0.4, by a random number of its own at each place of each text: "
        "0.6 stop at once, 0.4 * 0.6 after one, and 0.4 * 0.4 pass both.",
    )


P = [[0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4], [0.3, 0.1, 0.1, 0.5]]
Q = [[0.1, 0.4, 0.3, 0.2], [0.4, 0.3, 0.2, 0.1]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_every_token_is_distributed_as_the_targets(solution, dtype):
    p, q = rows(*P).to(dtype).repeat(MANY, 1, 1), rows(*Q).to(dtype).repeat(MANY, 1, 1)
    drafted = torch.multinomial(q.flatten(0, 1), 1, generator=seeded(3)).view(MANY, 2)
    tokens, counts = verified(solution, p, q, drafted, seed=4)
    for place in range(3):
        there = tokens[counts > place, place]
        assert_true(bool(((0 <= there) & (there < 4)).all()), f"a token that counts at place {place} is none",
                    because="The tokens of a text stand before all -1.")
        share = torch.bincount(there, minlength=4).to(dtype) / max(1, len(there))
        assert_shares(
            share, p[0, place], f"the shares of the tokens at place {place}, of the texts that reach it,",
            "Whether a token was drafted and accepted or drawn after a rejection: both ways together give the "
            "target's probabilities, whatever the draft's are.", off=0.05 if place < 2 else 0.15,
        )


def test_without_a_draft_the_token_is_the_targets(solution):
    p = rows(P[0]).repeat(MANY, 1, 1)
    tokens, _ = verified(solution, p, p[:, :0], torch.zeros(MANY, 0, dtype=torch.int64, device=p.device))
    assert_shares(torch.bincount(tokens[:, 0].clamp(min=0), minlength=4) / MANY, p[0, 0],
                  f"for k = 0, the shares of the tokens in {MANY} texts",
                  "Nothing was drafted, so the token is drawn from the only row of p.")


# --- verify: the generator, the device -----------------------------------------------------------


def test_verify_repeats_itself_with_the_same_generator_state(solution):
    results = []
    for other in (1, 2):
        torch.manual_seed(other)
        results.append(verified(solution, *some_round(80))[0])
    assert_identical(
        results[1], results[0], "the tokens of 80 texts, verified again with a generator of the same seed,",
        because="All randomness comes from the generator where one is given: rand and multinomial both take it.",
    )


@pytest.mark.parametrize("own", [True, False], ids=["a generator", "no generator"])
def test_verify_gives_new_draws_each_time(solution, own):
    generator, given = seeded(8) if own else None, some_round(80)
    first, second = (assert_tensor(solution.verify(*given, generator)[0], "tokens").tolist() for _ in range(2))
    assert_true(
        first != second, f"two calls in a row with {'one' if own else 'no'} generator give the same 80 results",
        because="Each call moves on in the stream of random numbers, which only its owner seeds.",
    )


def test_verify_works_on_any_device(solution):
    trouble = ""
    with elsewhere() as send:
        try:
            p, q, drafted = map(send, some_round())
            solution.residual(p[:, :3], q)
            solution.verify(p, q, drafted)
        except DevicesDiffer as error:
            trouble = str(error)
    observe("tensors on another device", bool(trouble))
    if trouble:
        fail("residual and verify do not work on another device:", expected="everything where p lies", got=trouble,
             because="What is made on the way is made where p is: device=p.device.")
