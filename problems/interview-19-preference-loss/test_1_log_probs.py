"""Interview 19, first part: what answer_log_probs promises, from cause to consequence.

Shapes: B batch, T tokens, V vocab_size.
"""

import pytest
import torch

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_raises,
    assert_shape,
    assert_tensor,
    draw,
    draw_ids,
    observe,
)
from common.testing.attending import assert_works_elsewhere
from common.testing.comparisons import assert_gradients_of, assert_layout_is_free

B, T, V = 3, 7, 11
AXES = {"V": V}
CALL = "answer_log_probs(logits, ids, answer_mask)"


def logits_of(b=B, t=T):
    return 2 * draw("logits", B=b, T=t, V=V)


def ids_of(b=B, t=T):
    return draw_ids("ids", vocab_size=V, B=b, T=t)


def answers(*rows, t=T):
    """A mask (B, T) that is True at these tokens of each text."""
    mask = torch.zeros(len(rows), t, dtype=torch.bool, device=draw("d", 1).device)
    for row, tokens in enumerate(rows):
        mask[row, list(tokens)] = True
    return mask


USUAL = (range(3, 6), range(2, 7), range(4, 5))  # prompt, answer, and padding behind some


def by_loop(logits, ids, mask):
    """Token by token."""
    sums = []
    for row in range(ids.size(0)):
        log_probs = [
            torch.log_softmax(logits[row, t - 1], -1)[ids[row, t]] for t in range(1, ids.size(1)) if mask[row, t]
        ]
        sums.append(torch.stack(log_probs).sum() if log_probs else logits.new_zeros(()))
    return torch.stack(sums)


def log_probs_of(solution, *inputs):
    return assert_tensor(solution.answer_log_probs(*inputs), CALL)


# --- what others stand on ------------------------------------------------------------------------


@pytest.mark.parametrize(("b", "t"), [(B, T), (1, 5)])
def test_there_is_a_number_for_each_text(solution, b, t):
    mask = answers(*[range(2, 4)] * b, t=t)
    assert_shape(
        log_probs_of(solution, logits_of(b, t), ids_of(b, t), mask), (b,), CALL,
        because="The log-probabilities of a text's tokens become one number; texts stay apart.",
    )  # fmt: skip


def test_answer_log_probs_leaves_its_inputs_alone(solution):
    inputs = logits_of(), ids_of(), answers(*USUAL)
    assert_input_untouched(solution.answer_log_probs, *inputs, what="answer_log_probs")


SHAPES = {
    "ids are too short": ((B, T, V), (B, T - 1), (B, T - 1)),
    "the mask is too short": ((B, T, V), (B, T), (B, T - 1)),
    "the mask has one row for all": ((B, T, V), (B, T), (1, T)),
    "ids have one row for all": ((B, T, V), (1, T), (B, T)),
    "the logits are too short": ((B, T - 1, V), (B, T), (B, T)),
}


@pytest.mark.parametrize("which", SHAPES)
def test_shapes_that_do_not_go_together_are_refused(solution, which):
    logits, ids, mask = SHAPES[which]
    with assert_raises(
        ValueError, f"answer_log_probs with logits {logits}, ids {ids} and answer_mask {mask}",
        because="ids and answer_mask are both (B, T), with the B and T of the logits. Broadcasting and slices make "
        "numbers of other shapes too, so look at the shapes before anything is computed.",
    ):  # fmt: skip
        everything = torch.ones(mask, dtype=torch.bool, device=draw("d", 1).device)
        solution.answer_log_probs(draw("logits", *logits), draw_ids("ids", *ids, vocab_size=V), everything)


# --- one token -----------------------------------------------------------------------------------


def test_the_last_logits_say_nothing_about_this_text(solution):
    logits, ids, mask = logits_of(), ids_of(), answers(*USUAL)
    changed = logits.clone()
    changed[:, -1] = draw("others", B=B, V=V)
    before = log_probs_of(solution, logits, ids, mask)
    assert_identical(
        log_probs_of(solution, changed, ids, mask), before, f"{CALL}, after other logits at the last token,",
        because="Logits at token t are about token t + 1, and the last token has none behind it.",
    )  # fmt: skip


@pytest.mark.parametrize("token", [1, 4, T - 1])
def test_a_token_is_predicted_by_the_logits_before_it(solution, token):
    # The logits at token - 1 make every next token improbable but one; all other positions say the contrary.
    ids, mask = ids_of(), answers(*[[token]] * B)
    logits = logits_of().zero_().scatter(-1, ids.unsqueeze(-1), -6.0)
    logits[:, token - 1].zero_().scatter_(-1, ids[:, token : token + 1], 9.0)
    right = by_loop(logits, ids, mask)
    assert_close(
        log_probs_of(solution, logits, ids, mask), right, f"{CALL}, with token {token} as the whole answer,",
        because=f"It is the log-probability of token {token} alone, which the logits at token {token - 1} give: "
        "logits[:, :-1] go with ids[:, 1:] and answer_mask[:, 1:].",
    )  # fmt: skip


def test_the_probabilities_of_all_next_tokens_add_up_to_one(solution):
    ids = torch.stack([ids_of(1, 1)[0].expand(V), torch.arange(V, device=draw("d", 1).device)], 1)  # (V, 2)
    log_probs = log_probs_of(solution, logits_of(1, 2).repeat(V, 1, 1), ids, answers(*[[1]] * V, t=2))
    observe(CALL, log_probs)
    assert_close(
        log_probs.exp().sum(), log_probs.new_ones(()), "the sum of the probabilities of all V answers of one token",
        because="Log-probabilities are a log-softmax over the vocabulary: one of the V tokens comes next, with a "
        "probability of 1 in all.",
    )  # fmt: skip


def test_a_constant_added_to_all_logits_changes_nothing(solution):
    logits, ids, mask = logits_of(), ids_of(), answers(*USUAL)
    right = by_loop(logits, ids, mask)
    assert_close(
        log_probs_of(solution, logits + draw("constant", B, T, 1), ids, mask), right,
        f"{CALL}, after a number of its own is added to all logits of each position,",
        because="A softmax over the V logits of a position does not see it; over any other axis it does.",
    )  # fmt: skip


# --- the answer ----------------------------------------------------------------------------------


def test_log_probabilities_of_the_answer_add_up(solution):
    logits, ids, mask = logits_of(), ids_of(), answers(*[range(2, 7)] * B)
    right = by_loop(logits, ids, mask)
    assert_close(
        log_probs_of(solution, logits, ids, mask), right, f"{CALL}, with five tokens in each answer,",
        because="Probabilities of one token after the other multiply, so their logarithms are added: a sum over the "
        "tokens, not a mean.",
    )  # fmt: skip


@pytest.mark.parametrize("which", ["the prompt", "the padding"])
def test_what_is_outside_the_answer_does_not_count(solution, which):
    logits, ids, mask = logits_of(), ids_of(), answers(*[range(3, 5)] * B)
    tokens = slice(0, 3) if which == "the prompt" else slice(5, T)
    ids_too, logits_too = ids.clone(), logits.clone()
    ids_too[:, tokens] = (ids[:, tokens] + 1) % V
    logits_too[:, : 2 if which == "the prompt" else 0] = draw("others", B=B, T=2, V=V)[:, : tokens.start == 0]
    logits_too[:, 4 if which == "the padding" else T :] = 0.5
    before = log_probs_of(solution, logits, ids, mask)
    assert_close(
        log_probs_of(solution, logits_too, ids_too, mask), before,
        f"{CALL}, after {which} and the logits about it have changed,",
        because="answer_mask is False for prompt and padding: they add nothing to the sum of an answer, which hangs "
        "on the logits before its tokens alone.",
    )  # fmt: skip


@pytest.mark.parametrize("rows", [USUAL, (range(1, 7), (2, 5), (1, 3, 6))], ids=["in a row", "with gaps"])
def test_each_text_has_its_own_answer(solution, rows):
    logits, ids, mask = logits_of(), ids_of(), answers(*rows)
    right = by_loop(logits, ids, mask)
    assert_close(
        log_probs_of(solution, logits, ids, mask), right, f"{CALL}, with answers of different lengths,",
        because="A loop over the tokens gives the expected value: those where the text's own row of answer_mask is "
        "True, added up.",
    )  # fmt: skip


def test_the_first_token_counts_nothing(solution):
    logits, ids, mask = logits_of(), ids_of(), answers(range(4), range(1), range(T))
    right = by_loop(logits, ids, mask)
    assert_close(
        log_probs_of(solution, logits, ids, mask), right, f"{CALL}, where the answers begin with token 0,",
        because="No logits are about token 0, so it counts nothing, even where its mask is True.",
    )  # fmt: skip


def test_a_text_without_an_answer_gets_zero(solution):
    logits, ids, mask = logits_of(), ids_of(), answers(range(3, 6), (), range(2, 4))
    right = by_loop(logits, ids, mask)
    assert_close(
        log_probs_of(solution, logits, ids, mask), right, f"{CALL}, where text 1 has no answer,",
        because="A sum of nothing is 0, and the other texts are as ever.",
    )  # fmt: skip


def test_a_text_of_one_token_gets_zero(solution):
    mask = answers(*[[0]] * B, t=1)
    assert_close(
        log_probs_of(solution, logits_of(t=1), ids_of(t=1), mask), logits_of(t=1).new_zeros(B),
        f"{CALL} for texts of one token",
        because="Nothing is predicted in a text of one token, and a sum of nothing is 0.",
    )  # fmt: skip


# --- what may stand in the inputs ----------------------------------------------------------------


@pytest.mark.parametrize("number", [-100, 50_000])
def test_ids_outside_the_answer_may_be_any_number(solution, number):
    logits, ids, mask = logits_of(), ids_of(), answers(*USUAL)
    right = by_loop(logits, ids, mask)
    ids[~mask] = number
    observe("the number outside", number)
    try:
        result = log_probs_of(solution, logits, ids, mask)
    except NotImplementedError:
        raise
    except (RuntimeError, IndexError) as error:
        observe(f"error with {number}", type(error).__name__)
        result = torch.full((B,), torch.nan, device=logits.device)
    assert_close(
        result, right, f"{CALL}, with {number} in ids at prompt and padding (NaN for an error),",
        because="Outside the answer ids may hold any number, and a number that is no token is no index: put a token "
        "in its place before you look it up.",
    )  # fmt: skip


def impossible():
    """Logits about the tokens outside the answer that are -inf, but for one token that is none of these."""
    logits, ids, mask = logits_of(), ids_of(), answers(*USUAL)
    right = by_loop(logits, ids, mask)
    for row, t in (~mask[:, 1:]).nonzero().tolist():  # logits at t are about token t + 1
        possible = 6 if ids[row, t + 1] == 5 else 5
        logits[row, t, torch.arange(V, device=ids.device) != possible] = -torch.inf
    return logits, ids, mask, right


def test_an_impossible_token_outside_the_answer_does_no_harm(solution):
    logits, ids, mask, right = impossible()
    assert_close(
        log_probs_of(solution, logits, ids, mask), right,
        f"{CALL}, where logits about prompt and padding are -inf,",
        because="What is outside the answer counts 0, whatever it is. A product with the mask makes NaN of it, as "
        "0 * -inf is NaN; masked_fill, torch.where and indexing leave it out.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1e2, 1e4])
def test_large_logits_do_not_overflow(solution, size):
    logits, ids, mask = size * logits_of(), ids_of(), answers(*USUAL)
    right = by_loop(logits, ids, mask)
    assert_close(
        log_probs_of(solution, logits, ids, mask), right, f"{CALL} of logits around {size:g}",
        because="exp overflows above 88 and is 0 below -104, and the logarithm of 0 is -inf. log_softmax takes the "
        "highest logit away first and never looks at a logarithm of 0.",
        atol=1e-2,  # float32's numbers lie 1e-3 apart at 1e4, and picked minus logsumexp rounds there
    )  # fmt: skip


@pytest.mark.parametrize(
    ("given", "wanted"), [(torch.bfloat16, torch.float32), (torch.float16, torch.float32)], ids=["bfloat16", "float16"]
)
def test_half_precision_is_computed_in_float32(solution, given, wanted):
    logits, ids, mask = logits_of().to(given), ids_of(), answers(*USUAL)
    right = by_loop(logits.float(), ids, mask)
    result = log_probs_of(solution, logits, ids, mask)
    assert_equal(
        str(result.dtype), str(wanted), f"the dtype of {CALL} for logits in {given}",
        because="Rounded to 8 or 11 bits a sum of -40 hides the differences that the loss lives on: it is float32.",
    )  # fmt: skip
    assert_close(
        result, right, f"{CALL} for logits in {given}",
        because="The logits become float32 before anything is computed with them; a result that is cast afterwards "
        "has lost its digits.",
    )  # fmt: skip


def test_double_precision_stays(solution):
    logits, ids, mask = logits_of().double(), ids_of(), answers(*USUAL)
    right = by_loop(logits, ids, mask)
    result = log_probs_of(solution, logits, ids, mask)
    assert_equal(
        str(result.dtype), "torch.float64", f"the dtype of {CALL} for logits in float64",
        because="Half precision becomes float32, and float64 stays what it is.",
    )  # fmt: skip
    assert_close(
        result, right, f"{CALL} for logits in float64", atol=1e-9, rtol=1e-9,
        because="Nothing on the way is computed in float32.",
    )  # fmt: skip


def test_answer_log_probs_works_on_another_device(solution):
    inputs = logits_of(), ids_of(), answers(*USUAL)
    assert_works_elsewhere(solution.answer_log_probs, *inputs, what="answer_log_probs")


def test_inputs_that_are_not_contiguous_give_the_same(solution):
    assert_layout_is_free(
        lambda *inputs: log_probs_of(solution, *inputs), logits_of(), ids_of(), answers(*USUAL),
        what=f"{CALL} for inputs that are not contiguous",
    )  # fmt: skip


# --- learning ------------------------------------------------------------------------------------


def test_the_gradient_of_a_log_probability_is_that_of_log_softmax(solution):
    ids, mask = ids_of(), answers(*USUAL)
    assert_gradients_of(
        lambda logits: log_probs_of(solution, logits, ids, mask), lambda logits: by_loop(logits, ids, mask),
        {"the logits": logits_of()},
        because="Each token of the answer pulls at the logits before it, and nothing at any others.",
    )  # fmt: skip


def test_an_impossible_token_outside_the_answer_does_not_spoil_the_gradient(solution):
    logits, ids, mask, _ = impossible()
    assert_gradients_of(
        lambda logits: log_probs_of(solution, logits, ids, mask), lambda logits: by_loop(logits, ids, mask),
        {"the logits, some of them -inf,": logits},
        because="backward() passes through all that was computed: where 0 * -inf was replaced afterwards it still "
        "gives NaN.",
    )  # fmt: skip


def test_answer_log_probs_keeps_nothing_from_call_to_call(solution):
    then = logits_of(2, 5), ids_of(2, 5), answers(range(1, 3), range(2, 5), t=5)
    right = by_loop(*then)
    log_probs_of(solution, logits_of(), ids_of(), answers(*USUAL))
    assert_close(
        log_probs_of(solution, *then), right, f"{CALL}, after a call with longer texts,",
        because="What comes out follows from what is given, and from nothing that came before.",
    )  # fmt: skip
