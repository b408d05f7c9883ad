"""Who may see whom: the property that makes a model a language model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from common.testing.asserts import assert_equal, assert_identical, assert_tensor
from common.testing.modules import draw

_LEAK = (
    "An earlier token saw a later one. Usual causes: the mask is never applied (masked_fill returns a new tensor), is inverted "
    "or transposed, lets one token too many through, or comes after the softmax; or something else mixes tokens."
)


def another(x: Tensor, j: int) -> Tensor:
    """A copy of (B, T, C) vectors, or of (B, T) ids, in which only token j is changed."""
    changed = x.clone()
    changed[:, j] = (
        (x[:, j] + 1) % 7 if x.dtype == torch.long else draw("another token", *x[:, j].shape)
    )
    return changed


def assert_causal(model: Callable[[Tensor], Any], x: Tensor, *, because: str = _LEAK) -> None:
    """Check that changing token j leaves the output at every earlier position the same, to the last bit."""
    length = x.size(1)
    with torch.no_grad():
        before = assert_tensor(model(x), "the output")
        for j in range(1, length):
            after = model(another(x, j))
            assert_identical(
                after[:, :j],
                before[:, :j],
                f"the output of the tokens before {j}, after changing only token {j} of {length},",
                because=because,
            )


def assert_sees_the_past(model: Callable[[Tensor], Any], x: Tensor, *, because: str = "") -> None:
    """Check that changing token j changes the output at j and at every later position."""
    length = x.size(1)
    with torch.no_grad():
        before = model(x)
        for j in range(length):
            moved = (model(another(x, j)) != before).flatten(2).any(-1).all(0)  # (T,)
            blind = [i for i in range(j, length) if not moved[i]]
            assert_equal(
                blind,
                [],
                f"the list of tokens whose output ignores token {j}, though they come at or after it",
                because=because
                or "Every token attends to itself and to all earlier tokens: the mask hides too much, or positions never mix.",
            )
