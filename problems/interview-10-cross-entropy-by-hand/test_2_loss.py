"""Interview 10, second part: what cross_entropy promises, from cause to consequence.

Shapes: B batch, T tokens, V classes.
"""

import math

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
    draw,
    draw_ids,
    observe,
)
from common.testing.attending import assert_works_elsewhere

B, T, V = 2, 7, 13
AXES = {"B": B, "T": T, "V": V}
INF, NAN = float("inf"), float("nan")
SHAPES = pytest.mark.parametrize("lead", [(B, T), (T,), (), (B, 3, T)], ids=lambda lead: f"{len(lead)} leading axes")
IGNORE = pytest.mark.parametrize("ignore_index", [-100, -1, 0, 4, V - 1, 50])


def given(*lead, v=V):
    """Logits and targets."""
    shape = {"B": B, "T": T, "V": v} if lead == (B, T) else {}
    logits = 2 * draw("logits", *(() if shape else (*lead, v)), **shape)
    return logits + 0.5, draw_ids("targets", *lead, vocab_size=v)


def padded(ignore_index=-100):
    """As given(B, T), with five rows to be ignored and no other of that class."""
    logits, targets = given(B, T)
    logits = logits + draw(f"logits for {ignore_index}", B, T, V)
    targets = torch.where(targets == ignore_index, (targets + 1) % V, targets)
    targets[0, 5:] = targets[1, 2:5] = ignore_index
    return logits, targets


def right(logits, targets, ignore_index=-100):
    """What torch gives."""
    return F.cross_entropy(logits.reshape(-1, logits.size(-1)), targets.reshape(-1), ignore_index=ignore_index)


def loss_of(solution, logits, targets, *ignore_index, what="cross_entropy(logits, targets)"):
    loss = solution.cross_entropy(logits, targets, *ignore_index)
    assert_shape(loss, (), what, because="The loss is one number, the mean over all rows that count.")
    return loss


def each(solution, logits, targets):
    """The loss of each row that counts, alone."""
    counts = targets != -100
    return torch.stack([loss_of(solution, *row) for row in zip(logits[counts], targets[counts], strict=True)])


# --- what others stand on ------------------------------------------------------------------------


@SHAPES
def test_the_loss_is_a_scalar(solution, lead):
    loss_of(solution, *given(*lead))


def test_cross_entropy_leaves_its_inputs_alone(solution):
    assert_input_untouched(solution.cross_entropy, *padded(), what="cross_entropy")


# --- the loss ------------------------------------------------------------------------------------


def test_equal_logits_cost_the_logarithm_of_the_classes(solution):
    logits, targets = given(T)
    flat = logits[:, :1].expand(T, V).contiguous()
    assert_close(
        loss_of(solution, flat, targets), flat.new_tensor(math.log(V)), f"the loss of {V} equal logits",
        because="Equal logits give each class the probability 1 / V, and -log(1 / V) is log(V): the natural "
        "logarithm, and a mean over the rows.",
    )


def test_a_number_added_to_a_row_changes_nothing(solution):
    logits, targets = given(B, T)
    before = loss_of(solution, logits, targets)
    assert_close(
        loss_of(solution, logits + 3 * draw("lift", B, T, 1), targets), before.detach(),
        "the loss, after a number was added to all logits of each row,",
        because="It is log_sum_exp(x) - x_t, where both grow by the same: the classes of a row lie along the last "
        "axis.",
    )


@SHAPES
def test_the_loss_is_that_of_torch(solution, lead):
    logits, targets = given(*lead)
    assert_close(
        loss_of(solution, logits, targets), right(logits, targets), f"the loss of logits {(*lead, V)}",
        because="F.cross_entropy gives the expected value: the mean over all rows of log_sum_exp(x) - x_t.",
    )


@IGNORE
def test_rows_with_the_ignored_target_do_not_count(solution, ignore_index):
    logits, targets = padded(ignore_index)
    assert_close(
        loss_of(solution, logits, targets, ignore_index), right(logits, targets, ignore_index),
        f"the loss with ignore_index={ignore_index} for 5 of {B * T} rows",
        because="The rows whose target is ignore_index are left out of the sum and of the number it is divided by; "
        "ignore_index may be any int, a class too.",
    )


def test_minus_100_is_ignored_by_default(solution):
    logits, targets = padded()
    assert_close(
        loss_of(solution, logits, targets), right(logits, targets), "the loss with targets of -100, without "
        "ignore_index,",
        because="The signature is cross_entropy(logits, targets, ignore_index=-100).",
    )


def test_the_loss_is_zero_when_nothing_counts(solution):
    logits, targets = given(B, T)
    assert_close(
        loss_of(solution, logits, torch.full_like(targets, -100)), logits.new_zeros(()), "the loss with all targets "
        "ignored",
        because="The sum over no rows is 0, and is not divided by 0.",
    )


def test_a_single_class_costs_nothing(solution):
    logits, targets = given(T, v=1)
    targets[2:4] = -100
    assert_close(
        loss_of(solution, logits, targets), logits.new_zeros(()), "the loss of rows with a single class, some of them "
        "ignored,",
        because="The only class has the probability 1, whatever its logit is, and -log(1) is 0.",
    )


@pytest.mark.parametrize("value", [NAN, INF, -INF], ids=str)
def test_a_row_that_is_ignored_may_hold_anything(solution, value):
    logits, targets = padded()
    wanted = right(logits, targets)
    assert_close(
        loss_of(solution, logits.masked_fill((targets == -100).unsqueeze(-1), value), targets), wanted,
        f"the loss with {value} in the rows that are ignored",
        because="What is ignored takes no part. 0 times NaN and 0 times inf are NaN, so a product with a mask does not "
        "leave it out.",
    )


# --- where it breaks -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1e3, 1e4, -1e4])
def test_large_logits_do_not_overflow(solution, size):
    logits, targets = given(B, T)
    logits = logits + size
    assert_close(
        loss_of(solution, logits, targets).double(), right(logits.double(), targets),
        f"the loss of logits around {size:g}",
        because="exp is inf above 88 and 0 below -104, so the highest logit of a row is taken out of its exponents.",
        atol=2e-3, rtol=2e-3,  # float32's numbers lie 1e-3 apart at 1e4
    )


@pytest.mark.parametrize("size", [8.0, 100.0, 1e4])
def test_an_unlikely_target_has_a_large_loss(solution, size):
    logits, targets = given(B, T)
    logits = size * logits
    logits, targets = logits.flatten(0, 1), targets.flatten()
    assert_close(
        each(solution, logits, targets).double(), F.cross_entropy(logits.double(), targets, reduction="none"),
        f"the list of losses, a call for each row, of logits that lie some {2 * size:g} apart",
        because="The probability of an unlikely target is 0 in float32, and its logarithm -inf, or whatever was added "
        "to avoid that. log_sum_exp(x) - x_t needs no probability.",
        atol=1e-4 + 1e-6 * size,  # float32's numbers lie 4e-3 apart at 6e4
    )


def test_classes_may_be_impossible(solution):
    logits, targets = given(B, T)
    hidden = (draw("hidden", B, T, V) > 0.5) & ~F.one_hot(targets, V).bool()
    logits = logits.masked_fill(hidden, -INF)
    assert_close(
        loss_of(solution, logits, targets), right(logits, targets), "the loss with -inf at classes other than the "
        "target",
        because="A logit of -inf is a probability of 0 and counts nothing; 0 * -inf is NaN.",
    )


@pytest.mark.parametrize("target", [V, V + 5, -1, -99])
def test_a_target_that_is_no_class_is_refused(solution, target):
    logits, targets = padded()
    targets[1, 6] = target
    with assert_raises(
        ValueError, f"cross_entropy with {V} classes and a target of {target}", naming=[target],
        because="A target is a class from 0 to V - 1, or ignore_index; a negative index counts from the end and picks "
        "a wrong class without a word.",
    ):
        solution.cross_entropy(logits, targets)


def test_minus_100_is_no_class_when_another_is_ignored(solution):
    logits, targets = padded()
    with assert_raises(
        ValueError, "cross_entropy with a target of -100 and ignore_index=0", naming=[-100],
        because="Only the ignore_index that is given is ignored.",
    ):
        solution.cross_entropy(logits, targets, 0)


# --- types, layouts, calls -----------------------------------------------------------------------

KINDS = {torch.float64: torch.float64, torch.float32: torch.float32, torch.bfloat16: torch.float32}
KINDS |= {torch.float16: torch.float32}


@pytest.mark.parametrize("dtype", KINDS, ids=str)
def test_the_loss_is_float32_or_float64(solution, dtype):
    logits, targets = padded()
    assert_equal(
        str(loss_of(solution, logits.to(dtype), targets).dtype), str(KINDS[dtype]),
        f"the dtype of the loss for logits in {dtype}",
        because="The loss is float64 for float64, and float32 for all other types: it is not rounded to a half type.",
    )


def test_cross_entropy_computes_float64_in_float64(solution):
    logits, targets = padded()
    assert_close(
        loss_of(solution, logits.double(), targets), right(logits.double(), targets), "the loss in float64",
        because="float64 has 16 digits, and a step through float32 leaves 7 of them.", atol=1e-10, rtol=1e-10,
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_cross_entropy_computes_half_precision_in_float32(solution, dtype, size):
    logits, targets = padded()
    logits = (size * logits).to(dtype)
    counts = targets != -100
    assert_close(
        each(solution, logits, targets).float(),
        F.cross_entropy(logits[counts].float(), targets[counts], reduction="none"),
        f"the list of losses, a call for each row, in {dtype} of logits of some {2 * size:g}, compared with float32 "
        "for the same numbers,",
        because="The logits are widened to float32 before anything is computed: a half type keeps 2 or 3 digits, of "
        "every step.", atol=1e-4, rtol=1e-4,
    )


def test_cross_entropy_works_on_another_device(solution):
    assert_works_elsewhere(solution.cross_entropy, *padded(), what="cross_entropy")


def test_cross_entropy_does_not_mind_the_layout(solution):
    logits, targets = padded()
    strided = [t.transpose(0, 1).contiguous().transpose(0, 1) for t in (logits, targets)]
    assert_close(
        loss_of(solution, *strided), right(logits, targets), "the loss of inputs that are not contiguous",
        because="The same numbers lie in memory in another order, which view minds and reshape does not.",
    )


def test_cross_entropy_keeps_nothing_for_the_next_call(solution):
    solution.cross_entropy(*padded())
    logits, targets = given(4, 5, v=9)
    loss = loss_of(solution, logits, targets)
    observe("the loss after another call", loss)
    assert_close(
        loss, right(logits, targets), "the loss, after a call with other sizes,",
        because="Each call answers for what it is given.",
    )
    before = loss.clone()
    solution.cross_entropy(-logits, targets)
    assert_identical(loss, before, "the loss of a call, after the next call,", because="Each call makes a new tensor.")
