"""What one call of a module may leave behind for the next: nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from common.testing.asserts import assert_close, assert_tensor, fail
from common.testing.context import observe

_NOTHING_KEPT = (
    "A module that has read another text before answers like one that has not: positions, masks and results "
    "are made anew in each call, or cut to the text from what was made in __init__."
)


def assert_nothing_is_kept(make: Callable[[], Any], first: Tensor, then: Tensor, what: str) -> None:
    """Check that a module which has seen `first` gives for `then` what a new one gives.

    Args:
        make: builds the module, with the same parameters each time.
        what: what comes out, for the message: "the logits".
    """
    after = f"{what} for {then.size(1)} tokens, after a text of {first.size(1)},"
    with torch.no_grad():
        alone = assert_tensor(make()(then), what).clone()
        module = make()
        module(first)
        try:
            again = module(then)
        except (RuntimeError, IndexError, ValueError) as error:
            said = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            observe(after, said)
            fail(
                f"{after} cannot be computed, though a new module computes them:",
                expected="what a new module gives",
                got=said,
                because=_NOTHING_KEPT,
            )
        assert_close(again, alone, after, because=_NOTHING_KEPT)
