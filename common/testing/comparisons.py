"""Checks of any module against an oracle, or against itself with its inputs laid out otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from common.testing.asserts import assert_close, assert_tensor, fail, mismatch
from common.testing.context import observe
from common.testing.graphs import nodes_of
from common.testing.modules import draw

_CUT = (
    "Learning goes the way back from the result to what it was made of, through every step; detach(), .data, .item() "
    "and torch.no_grad() cut it, and nn.Parameter(tensor) begins anew."
)
_CHANGED = (
    "The values are right and a gradient arrives, so a part of the way back is missing or changed: by detach(), .data, "
    ".item() or torch.no_grad() around a part of the formula, or by a hook."
)


def assert_same_gradients(
    learner: nn.Module, oracle: nn.Module, x: Tensor, *, free: Sequence[str] = ()
) -> None:
    """Check the gradients of the input and of every parameter against a module with the same parameters.

    Args:
        free: names of parameters that cannot change the output, and may have a gradient or none.
    """
    direction = draw("direction", *x.shape)
    found, results = [], []
    for model in (oracle, learner):
        leaf = x.clone().requires_grad_()
        results.append(assert_tensor(model(leaf), "the output"))
        (results[-1] * direction).sum().backward()
        found.append(
            {"the input": leaf.grad, **{f"`{n}`": p.grad for n, p in model.named_parameters()}}
        )
    wanted = {name: g for name, g in found[0].items() if name.strip("`") not in free}
    _compare_gradients(found[1], wanted, results)


def assert_gradients_of(
    function: Callable[..., Any],
    right: Callable[..., Any],
    inputs: Mapping[str, Tensor],
    *,
    because: str = "",
    atol: float = 1e-4,
) -> None:
    """Check the gradients of all inputs, by name, against those of another function of them."""
    found, results = [], []
    for call in (right, function):
        leaves = {name: x.clone().requires_grad_() for name, x in inputs.items()}
        results.append(assert_tensor(call(*leaves.values()), "the result"))
        if results[-1].requires_grad:
            (results[-1] * draw("direction", *results[-1].shape)).sum().backward()
        found.append({name: leaf.grad for name, leaf in leaves.items()})
    _compare_gradients(found[1], found[0], results, because=because, atol=atol)


def _compare_gradients(
    mine: Mapping[str, Tensor | None],
    right: Mapping[str, Tensor | None],
    results: Sequence[Tensor],
    *,
    because: str = "",
    atol: float = 1e-4,
) -> None:
    """Check gradients by name: each one that the right run has is there, and equal.

    Args:
        results: what they are the gradients of, in the right run and in the learner's.
        because: what is said of a wrong one, beside how it may have come about.
    """
    for name, gradient in right.items():
        found = mine[name]
        assert gradient is not None, name
        if found is None:
            observe(f"the gradient of {name}", None)
            fail(f"no gradient reaches {name}:", expected="a gradient", got="None", because=_CUT)
        assert_close(
            found,
            gradient,
            f"the gradient of {name}",
            because=f"{because} {_how_it_went_wrong(found, results)}".strip(),
            atol=atol,
            rtol=atol,
        )


def _how_it_went_wrong(gradient: Tensor, results: Sequence[Tensor]) -> str:
    """What the learner's way back has that the right one has not."""
    right, mine = results
    if mine.shape != right.shape or mismatch(mine, right, atol=1e-3, rtol=1e-3) is not None:
        return ""  # what comes out is wrong already
    if gradient.isnan().any():
        return (
            "backward() passes through all that was computed: an inf or NaN on the way that was replaced afterwards "
            "still gives 0 * inf or 0 * NaN, which is NaN."
        )
    if not gradient.any():
        return _CUT
    if names := _own_backwards(mine):
        return f"{names[0]}.backward is yours: what it gives is not the slope of what its forward computes."
    return _CHANGED


def _own_backwards(result: Tensor) -> list[str]:
    """The learner's own autograd functions that a result was made with."""
    made_by = (getattr(node, "_forward_cls", None) for node in nodes_of(result))
    return [c.__name__ for c in made_by if c and not c.__module__.startswith(("common.", "torch."))]


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
