"""Checks of dropout that hold for every way to draw the random numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from common.testing.asserts import assert_close, assert_tensor, assert_true, fail, number
from common.testing.calls import assert_repeatable
from common.testing.context import observe


def assert_drops_in_train_mode_only(make: Callable[..., nn.Module], x: Tensor, what: str) -> None:
    """Check what is made with dropout_p: random in train mode, and neither in eval mode nor with a rate of 0."""
    noisy = make(dropout_p=0.5).train()
    with torch.no_grad():
        assert_true(
            bool((noisy(x) != noisy(x)).any()),
            f"{what} made with dropout_p=0.5 gives the same output twice in train mode",
            because="dropout_p is the rate of dropout in all its parts, and in train mode dropout draws anew in each "
            "call.",
        )
        for rate, made in (({"dropout_p": 0.0}, "with dropout_p=0"), ({}, "without dropout_p")):
            calm = make(**rate)
            still = calm(x)
            assert_close(
                calm.train()(x), still, f"the output of {what} in train mode, made {made},", atol=1e-4,
                because="The default of dropout_p is 0, and with a rate of 0 train mode gives what eval mode gives.",
            )  # fmt: skip
    assert_repeatable(make(dropout_p=0.5), x, what=f"the output of {what}")


def assert_drops_anew(module: Callable[..., Tensor], *inputs: Any, what: str) -> None:
    """Check that two calls in train mode drop different numbers.

    Args:
        module: in train mode, with dropout above 0.
    """
    with torch.no_grad():
        first, second = (assert_tensor(module(*inputs), what) for _ in range(2))
    observe(f"{what} of two calls in train mode differ", differ := not torch.equal(first, second))
    if not differ:
        fail(
            f"{what} is the same in two calls in train mode",
            because="Dropout draws anew in each call which numbers become 0. Here nothing is dropped in this mode, or "
            "what was drawn once is kept and used again.",
        )


def assert_dropped(
    values: Tensor, kept: float | Tensor, rate: float, what: str, *, because: str
) -> None:
    """Check that each value was dropped (0) with probability `rate`, else scaled up by 1 / (1 - rate).

    Args:
        values: results in train mode, at least a few hundred that were dropped independently.
        kept: what the values are without dropout; never 0.
    """
    expected = kept / (1 - rate)
    if bool(assert_tensor(values, what).isnan().any()):
        observe(f"{what} with dropout", "NaN")
        fail(
            f"there is NaN in {what} in train mode:",
            expected=f"0 or {number(expected)}" if isinstance(expected, float) else "numbers",
            got="NaN",
            because=because,
        )
    zero = values == 0
    right = zero | ((values - expected).abs() <= 1e-4 * (1 + abs(expected)))
    share = float(zero.float().mean())
    # Five standard deviations of a share of n independent draws: one run in a million is off by more.
    margin = 5 * (rate * (1 - rate) / values.numel()) ** 0.5
    near = abs(share - rate) <= margin
    # Which numbers are dropped is chance, and differs between right answers too; what they are is not.
    levels = [round(v, 2) for v in values.unique().tolist()]
    observe(f"values of {what} with dropout", levels[:6])
    observe(f"share of {what} that is dropped", round(share, 1))
    if share == 0 and rate > 0:
        fail(
            f"nothing of {what} is ever dropped in train mode:",
            expected=f"a share of {rate:g}",
            got="0",
            because=because,
        )
    if not near:
        fail(
            f"the share of {what} that is dropped in train mode is wrong:",
            expected=f"{rate:g} (give or take {margin:.2f})",
            got=f"{share:.3f}",
            because=because,
        )
    if not bool(right.all()):
        place = tuple((~right).nonzero()[0].tolist())
        wanted = expected if not isinstance(expected, Tensor) else expected.expand_as(values)[place]
        fail(
            f"{what} in train mode, where not dropped, is wrong at {list(place)}:",
            expected=f"0 or {number(wanted)}",
            got=number(values[place]),
            because=because + _divided_by((values / kept)[~zero], rate, share),
        )


def _divided_by(factors: Tensor, rate: float, share: float) -> str:
    """What all that was kept is divided by, where that is one number and has a name."""
    if not torch.allclose(factors, factors[:1].expand_as(factors), rtol=1e-3):
        return ""
    named = {
        1: "nothing",
        rate: "p",
        1 - share: "the share that happened to be kept, which differs from call to call",
    }
    divisor = 1 / float(factors.double().mean())
    found = [name for value, name in named.items() if math.isclose(divisor, value, rel_tol=2e-4)]
    return f" Here they are divided by {found[0]}." if found else ""
