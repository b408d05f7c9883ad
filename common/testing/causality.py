"""Who may see whom: the property that makes a model a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from common.testing.asserts import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_tensor,
    fail,
)
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
            or "0 * inf is NaN, inf - inf is, and 0 / 0, as in the softmax of a row in which all scores are -inf: a "
            "token sees one at least, itself.",
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
            rounded = after.shape == before.shape and torch.allclose(
                after[:, :j], before[:, :j], atol=1e-6
            )
            assert_identical(
                after[:, :j],
                before[:, :j],
                f"the output of the tokens before {j}, after changing only token {j} of {length},",
                because=f"{because} {_ROUNDED}" if rounded else because,
            )


_ROUNDED = (
    "Only the last bits moved: later tokens have no weight, and yet a number takes part that is made of them too, as "
    "the highest score of a row or the sum of a softmax does where it is taken before the mask is applied."
)


def assert_follows_from_the_past(model: Model, x: Tensor) -> None:
    """Check that the beginning of a text gives the same alone as within the whole text."""
    with torch.no_grad():
        whole = model(x)
        for length in (1, 1 + x.size(1) // 2):
            assert_close(
                model(x[:, :length]), whole[:, :length],
                f"the logits of the first {length} of {x.size(1)} tokens, where no others follow,",
                because="A token's logits follow from it and those before it, however long the text goes on: the first "
                "token has position 0 in a short text, too.",
            )  # fmt: skip


def assert_sees_the_past(model: Model, x: Tensor, *, because: str = "") -> None:
    """Check that changing token j changes the output at j and at every later position."""
    because = because or (
        "Every token attends to itself and to all tokens before it, so its output moves when one of them does."
    )
    for j, blind in _blind(model, x):
        ignored = [i for i in blind if i >= j]
        assert_equal(
            ignored,
            [],
            f"the list of tokens whose output ignores token {j}, though they come at or after it",
            because=f"{because} {_weighs_others(model, x) if ignored else ''}".strip(),
        )


class _Weighed(TorchFunctionMode):
    """Notes over how many entries each attention goes, and what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.fused: list[tuple[int, ...]] = []  # the keys' shape
        self.sizes: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            key = args[1] if len(args) > 1 else kwargs["key"]
            self.fused.append(tuple(key.shape))
            self.sizes.add(key.size(-2))
        result = func(*args, **kwargs)
        if getattr(func, "__name__", "") == "softmax":
            dim = kwargs.get("dim", args[1] if len(args) > 1 else -1)
            self.sizes.add(result.size(dim if isinstance(dim, int) else -1))
        return result


def _weighs_others(model: Model, x: Tensor) -> str:
    """What attention weighs in place of the tokens; empty where something runs over as many entries as there are."""
    with torch.no_grad(), _Weighed() as weighed:
        out = assert_tensor(model(x), "the output")
    sizes = weighed.sizes - {out.size(-1)}  # a softmax at the very end is none of attention's
    if not sizes or x.size(1) in sizes:
        return ""
    if weighed.fused:
        return (
            f"Here scaled_dot_product_attention gets keys of {weighed.fused[0]}: it takes the last two axes for tokens "
            f"and channels, and there are {x.size(1)} tokens. transpose(1, 2) makes (B, H, T, D) of (B, T, H, D)."
        )
    over = " and ".join(map(str, sorted(sizes)))
    return (
        f"Here the softmax runs over {over} entries, and there are {x.size(1)} tokens: scores are (B, H, T, T), of "
        "queries and keys that are (B, H, T, D)."
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
