"""Interview 04, third part: what learning_rate promises."""

import math

import pytest
import torch

from common.testing import assert_close, assert_raises, fail, observe

USUAL = (0.6, 0.1, 6, 20)  # max_lr, min_lr, warmup_steps, total_steps


def assert_rates(solution, steps, settings, expected, because):
    """Check the rates at these steps; each has to be a plain number."""
    rates = [solution.learning_rate(step, *settings) for step in steps]
    for step, rate in zip(steps, rates, strict=True):
        if not isinstance(rate, int | float):
            observe("learning_rate returns", type(rate).__name__)
            fail(
                f"learning_rate({step}, ...) does not return a float:", expected="a float", got=type(rate).__name__,
                because="It is a Python number in every case: each branch ends in a return, and math.cos gives a "
                "float.",
            )
    what = f"learning_rate at steps {steps}, with max_lr, min_lr, warmup_steps, total_steps = {settings},"
    exact = torch.float64
    assert_close(torch.tensor(rates, dtype=exact), torch.tensor(expected, dtype=exact), what, because=because,
    atol=1e-6)


def test_the_warmup_is_a_straight_line_from_zero(solution):
    assert_rates(
        solution, [0, 1, 2, 3, 4, 5], USUAL, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
        "It is max_lr * step / warmup_steps while step < warmup_steps: 0 at step 0. min_lr has no part in it.",
    )


def test_the_warmup_ends_at_max_lr(solution):
    assert_rates(solution, [6], USUAL, [0.6], "At step warmup_steps the cosine starts, at its top: max_lr.")


def test_half_way_down_it_is_between_the_two(solution):
    assert_rates(
        solution, [13], USUAL, [0.35],
        "Half of the way from warmup_steps to total_steps the cosine is 0, and the rate (max_lr + min_lr) / 2.",
    )


def test_the_way_down_is_a_cosine(solution):
    steps = list(range(6, 20))
    expected = [0.1 + 0.25 * (1 + math.cos(math.pi * (step - 6) / 14)) for step in steps]
    assert_rates(
        solution, steps, USUAL, expected,
        "It is min_lr + (max_lr - min_lr) * (1 + cos(pi * progress)) / 2, where progress runs from 0 at warmup_steps "
        "to 1 at total_steps: slow at first, fast in the middle, slow at the end.",
    )


def test_from_the_last_step_on_it_is_min_lr(solution):
    assert_rates(
        solution, [20, 21, 27, 34, 500], USUAL, [0.1] * 5,
        "It is min_lr from total_steps on; a cosine that is left running turns up again.",
    )


def test_there_may_be_no_warmup(solution):
    assert_rates(
        solution, [0, 5, 10], (0.4, 0.2, 0, 10), [0.4, 0.3, 0.2],
        "With warmup_steps = 0 the cosine starts at step 0, with max_lr: no step is below 0, and nothing is divided "
        "by it.",
    )


def test_there_may_be_nothing_but_warmup(solution):
    assert_rates(
        solution, [0, 2, 4, 5], (0.4, 0.2, 4, 4), [0.0, 0.2, 0.2, 0.2],
        "With warmup_steps = total_steps no cosine is left: it is min_lr from total_steps on, before anything is "
        "divided by total_steps - warmup_steps.",
    )


def test_there_may_be_no_steps_at_all(solution):
    assert_rates(solution, [0, 3], (0.4, 0.2, 0, 0), [0.2, 0.2], "total_steps = 0 is reached at step 0: min_lr.")


def test_it_may_go_down_to_zero(solution):
    assert_rates(
        solution, [0, 2, 6, 10, 11], (0.8, 0.0, 2, 10), [0.0, 0.8, 0.4, 0.0, 0.0],
        "min_lr = 0.0 is an ordinary value.",
    )


LONG = "warmup_steps must not be above total_steps, whatever the step is."
BAD = [(3, 0.6, 0.1, 21, 20, LONG), (25, 0.6, 0.1, 21, 20, LONG)]
BAD += [(-1, 0.6, 0.1, 6, 20, "step is a count and not negative."), (-1, 0.6, 0.1, 0, 0, "step is not negative.")]
BAD += [(3, 0.6, 0.1, -1, 20, "warmup_steps is a count and not negative.")]
BAD += [(step, 0.6, 0.1, low, -1, "total_steps is a count and not negative.") for step, low in ((3, -2), (0, 0))]


@pytest.mark.parametrize("case", BAD, ids=lambda case: str(case[:5]))
def test_bad_counts_are_refused(solution, case):
    *arguments, because = case
    with assert_raises(ValueError, f"learning_rate{(*arguments,)}", because=because):
        solution.learning_rate(*arguments)
