"""Who may see whom: the property that makes a model a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from common.testing.asserts import assert_equal, assert_identical, assert_tensor, fail
from common.testing.context import observe
from common.testing.modules import draw

Model = Callable[[Tensor], Any]


def another(x: Tensor, j: int) -> Tensor:
    """A copy of (B, T, C) vectors, or of (B, T) ids, in which only token j is changed."""
    changed = x.clone()
    changed[:, j] = (
        (x[:, j] + 1) % 7 if x.dtype == torch.long else draw("another token", *x[:, j].shape)
    )
    return changed


def assert_finite(model: Model, x: Tensor, *, because: str = "") -> None:
    """Check that no token's output is NaN or infinite; a NaN is equal to nothing, so it would hide what follows."""
    with torch.no_grad():
        out = assert_tensor(model(x), "the output")
    lost = (~out.isfinite()).flatten(2).any(-1).any(0).nonzero().flatten().tolist()
    observe("tokens whose output is no number", lost)
    if lost:
        fail(
            f"the output of {len(lost)} of {x.size(1)} tokens is NaN or infinite:",
            expected="a number in every channel",
            got=f"none in some channel of token {', '.join(map(str, lost))}",
            because=because
            or "The softmax of a row in which all scores are -inf is 0 / 0, which is NaN, and so are 0 * inf and inf "
            "- inf: each token has to see one at least, itself.",
        )


def assert_causal(
    model: Model,
    x: Tensor,
    *,
    because: str = "What token i gives may depend on tokens 0 to i and on nothing after them, so not even the last "
    "bit may move.",
) -> None:
    """Check that changing token j leaves the output at every earlier position the same, to the last bit."""
    length = x.size(1)
    assert_finite(model, x)
    with torch.no_grad():
        before = model(x)
        for j in range(1, length):
            after = assert_tensor(model(another(x, j)), "the output")
            assert_identical(
                after[:, :j],
                before[:, :j],
                f"the output of the tokens before {j}, after changing only token {j} of {length},",
                because=because,
            )


def assert_sees_the_past(model: Model, x: Tensor, *, because: str = "") -> None:
    """Check that changing token j changes the output at j and at every later position."""
    for j, blind in _blind(model, x):
        assert_equal(
            [i for i in blind if i >= j],
            [],
            f"the list of tokens whose output ignores token {j}, though they come at or after it",
            because=because
            or "Every token attends to itself and to all tokens before it, so its output moves when one of them does.",
        )


def assert_sees_every_token(model: Model, x: Tensor, *, because: str = "") -> None:
    """Check that changing any token changes the output at every position."""
    for j, blind in _blind(model, x):
        assert_equal(
            blind, [], f"the list of tokens whose output ignores token {j}", because=because
        )


def _blind(model: Model, x: Tensor) -> Iterator[tuple[int, list[int]]]:
    """For each token j, the positions whose output stays as it was (or is no number) when j is changed."""
    with torch.no_grad():
        before = assert_tensor(model(x), "the output")
        for j in range(x.size(1)):
            after = assert_tensor(model(another(x, j)), "the output")
            moved = (after != before) & after.isfinite() & before.isfinite()
            yield j, (~moved.flatten(2).any(-1).all(0)).nonzero().flatten().tolist()
