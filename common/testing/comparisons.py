"""Checks of any module against what stands beside it: an oracle's gradients, its own numbers in float32."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from common.testing.asserts import assert_close, assert_tensor, fail
from common.testing.context import observe
from common.testing.modules import draw

_UNCUT = (
    "Learning goes the way back from the result to the parameters, through every step; "
    "detach(), .data, .item() and torch.no_grad() cut it."
)


def assert_same_gradients(
    learner: nn.Module, oracle: nn.Module, x: Tensor, *, free: Sequence[str] = ()
) -> None:
    """Check the gradients of the input and of every parameter against a module with the same parameters.

    Args:
        free: names of parameters that cannot change the output, and may have a gradient or none.
    """
    direction = draw("direction", *x.shape)
    found = []
    for model in (oracle, learner):
        leaf = x.clone().requires_grad_()
        (assert_tensor(model(leaf), "the output") * direction).sum().backward()
        found.append(
            {"the input": leaf.grad, **{f"`{n}`": p.grad for n, p in model.named_parameters()}}
        )
    right, mine = found
    wanted = {name: g for name, g in right.items() if name.strip("`") not in free}
    compare_gradients(mine, wanted, because=_UNCUT, cut=_UNCUT)


def compare_gradients(
    mine: Mapping[str, Tensor | None],
    right: Mapping[str, Tensor | None],
    *,
    because: str,
    cut: str,
    atol: float = 1e-4,
) -> None:
    """Check gradients by name: each one that the right run has is there, and equal.

    Args:
        because: what is said of a wrong one; `cut` is said of one that is missing.
    """
    for name, gradient in right.items():
        found = mine[name]
        if found is None:
            observe(f"the gradient of {name}", None)
            fail(f"no gradient reaches {name}:", expected="a gradient", got="None", because=cut)
        assert gradient is not None, name
        assert_close(
            found, gradient, f"the gradient of {name}", because=because, atol=atol, rtol=atol
        )


def assert_layout_is_free(function: Callable[..., Any], *inputs: Tensor, what: str) -> None:
    """Check that the same numbers in another order of memory give the same.

    Args:
        what: what comes out then, for the message: "the output for a non-contiguous input".
    """
    expected = function(*inputs)
    strided = [x.transpose(0, 1).contiguous().transpose(0, 1) for x in inputs]
    assert_close(
        function(*strided),
        expected,
        what,
        because="The same numbers lie in memory in another order, which view minds and reshape does not.",
    )


def assert_half_precision(model: nn.Module, *inputs: Tensor) -> None:
    """Check that the model, moved to bfloat16 or float16, gives about what it gives in float32."""
    with torch.no_grad():
        right = assert_tensor(model(*inputs), "the output")
        for dtype, atol in ((torch.bfloat16, 0.3), (torch.float16, 0.05)):
            name = str(dtype).removeprefix("torch.")
            cast = [x.to(dtype) if x.is_floating_point() else x for x in inputs]
            try:
                out = copy.deepcopy(model).to(dtype)(*cast)
            except RuntimeError as error:
                if "overflow" not in str(error):
                    raise
                observe(f"{name} overflows", True)
                fail(
                    f"after .to({dtype}) the output cannot be computed: {str(error).splitlines()[0]}",
                    because="The largest number of float16 is 65504, so a large number of your own, such as -1e9 in "
                    "place of -torch.inf, does not fit; torch.finfo(scores.dtype).min does in every type.",
                )
            assert_close(
                assert_tensor(out, "the output").float(),
                right,
                f"the output in {name}, compared with your own in float32,",
                because=f"With the same numbers in {name} only rounding may differ; infinite numbers in sums and "
                "products become NaN.",
                atol=atol,
                rtol=atol,
            )
