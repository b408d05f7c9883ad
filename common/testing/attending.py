"""Checks of attention as a function: query, key and value in, output and weights out.

Shapes: T tokens that ask, S tokens that are asked, D and E channels; leading axes are batch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from common.testing.asserts import assert_close, assert_tensor, fail
from common.testing.context import observe
from common.testing.elsewhere import DevicesDiffer, elsewhere, is_elsewhere
from common.testing.words import brief

Function = Callable[..., Any]


def pair_of(result: Any, call: str) -> tuple[Tensor, Tensor]:
    """The two tensors, output and weights, that a call returned, after a look at their form."""
    pair = isinstance(result, tuple | list) and len(result) == 2
    observe(f"{call} returns a pair", pair)
    if not pair:
        fail(
            f"{call} should return two tensors:",
            expected="output, weights",
            got=brief(result)
            if isinstance(result, Tensor | None)
            else f"a {type(result).__name__}",
            because="Both go back, the output first: `return output, weights`.",
        )
    output, weights = result
    return assert_tensor(output, "the first result, the output,"), assert_tensor(
        weights, "the second result, the weights,"
    )


class AsModule(nn.Module):
    """A function of tensors as a module, for checks that ask the same of both."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


class SideBySide(nn.Module):
    """Such a function as a module that returns output and weights in one tensor, (..., T, E + S)."""

    def __init__(self, attend: Function, call: str) -> None:
        super().__init__()
        self.attend, self.call = attend, call

    def forward(self, *inputs: Any) -> Tensor:
        return torch.cat(pair_of(self.attend(*inputs), self.call), dim=-1)


def assert_works_elsewhere(function: Function, *inputs: Tensor, what: str) -> None:
    """Check that a function of tensors on another device works, and answers on that device."""
    trouble = ""
    with elsewhere() as send:
        try:
            result = function(*(send(x.cpu()) for x in inputs))
            trouble = "" if is_elsewhere(result) else "the result is on the CPU"
        except DevicesDiffer as error:
            trouble = str(error)
    observe(f"{what} on another device", bool(trouble))
    if trouble:
        fail(
            f"{what} does not work on tensors of another device than the CPU:",
            expected="everything on the device of its inputs",
            got=trouble,
            because="A tensor that is made on the way is made where the inputs are, with device=x.device or as "
            "new_ones and zeros_like make it.",
        )


def assert_scores(weights: Tensor, scores: Tensor, *, because: str, atol: float = 1e-4) -> None:
    """Check what scores (..., T, S) weights were made of, as far as a softmax shows it."""
    observe("the weights", weights)
    measured = weights.log() - weights.log()[..., :1]
    assert_close(
        measured[..., 1:],
        (scores - scores[..., :1])[..., 1:],
        "the difference of two scores, read back from the weights as the logarithm of their ratio,",
        because=because,
        atol=atol,  # the logarithm of a small weight magnifies float32's rounding
        rtol=atol,
    )
