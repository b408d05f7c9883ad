"""Modules whose parameters have no agreed names: what can still be said about their values.

An attention layer made of nn.Linear can be read in many ways: which layer is the query's, how the heads lie
in its output. A right one agrees with the formula in one of these readings. B batch, T tokens, C width,
H heads, D = C // H.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import permutations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.testing.asserts import assert_equal, fail, mismatch, number
from common.testing.context import observe
from common.testing.modules import draw

Heads = tuple[Tensor, Tensor, Tensor]  # query, key, value, each (B, H, T, D)


def linears(module: nn.Module) -> list[nn.Linear]:
    """All nn.Linear in it, in the order of their construction."""
    return [m for m in module.modules() if isinstance(m, nn.Linear)]


def attention_readings(
    module: nn.Module, x: Tensor, n_head: int
) -> Iterator[tuple[Heads, nn.Linear]]:
    """All readings of the layers of a self-attention on x (B, T, C): its heads, and the output layer."""
    B, T, C = x.shape
    H, D = n_head, C // n_head
    layers = linears(module)
    shapes = sorted(tuple(layer.weight.shape) for layer in layers)
    if shapes == sorted([(3 * C, C), (C, C)]):
        fused, out = sorted(layers, key=lambda layer: -layer.out_features)
        sizes = {"kind": 3, "head": H, "dim": D}
        for axes in permutations(sizes):
            y = fused(x).view(B, T, *(sizes[a] for a in axes))
            parts = y.permute(
                2 + axes.index("kind"), 0, 2 + axes.index("head"), 1, 2 + axes.index("dim")
            )
            for q, k, v in permutations(range(3)):
                yield (parts[q], parts[k], parts[v]), out
    elif shapes == [(C, C)] * 4:
        for q, k, v, out in permutations(layers):
            yield tuple(p(x).view(B, T, H, D).transpose(1, 2) for p in (q, k, v)), out
            yield tuple(p(x).view(B, T, D, H).permute(0, 3, 1, 2) for p in (q, k, v)), out
    elif shapes == sorted([(D, C)] * 3 * H + [(C, C)]):
        (out,) = (layer for layer in layers if layer.out_features == C)
        small = torch.stack([layer(x) for layer in layers if layer is not out], 1)  # (B, 3H, T, D)
        for grouped in (small.view(B, H, 3, T, D).transpose(1, 2), small.view(B, 3, H, T, D)):
            for q, k, v in permutations(range(3)):
                yield (grouped[:, q], grouped[:, k], grouped[:, v]), out


def attention_outputs(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor], module: nn.Module, x: Tensor, n_head: int
) -> Iterator[Tensor]:
    """What the formula `attend` gives on x in each reading of the module's layers, (B, T, C)."""
    for heads, out in attention_readings(module, x, n_head):
        mixed = attend(*heads)  # (B, H, T, D)
        yield out(mixed.transpose(1, 2).flatten(2))
        yield out(mixed.permute(0, 2, 3, 1).flatten(2))


def feed_forward_outputs(
    activation: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor
) -> Iterator[Tensor]:
    """What two linear layers with this activation between them give on x."""
    layers = linears(module)
    if len(layers) == 2 and layers[0].out_features == layers[1].in_features:
        up, down = layers
        yield down(activation(up(x)))


def is_one_of(actual: Tensor, candidates: Iterator[Tensor]) -> bool | None:
    """Whether the tensor equals one of them; None where there are none to compare with."""
    verdict = None
    for candidate in candidates:
        verdict = False
        if (
            actual.shape == candidate.shape
            and mismatch(actual, candidate, atol=1e-4, rtol=1e-4) is None
        ):
            return True
    return verdict


def causal_attention(
    scale: Callable[[Tensor], float] = lambda q: q.size(-1) ** -0.5, axis: int = -1
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Causal attention with another scale, or with the softmax over another axis."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        hidden = torch.ones(q.size(-2), q.size(-2), dtype=torch.bool, device=q.device).triu(1)
        scores = (q @ k.transpose(-2, -1) * scale(q)).masked_fill(hidden, -torch.inf)
        return F.softmax(scores, axis).nan_to_num() @ v

    return attend


def renormalised_never(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The mask after the softmax, as zeros: the rows no longer sum to one."""
    return ((q @ k.transpose(-2, -1) * q.size(-1) ** -0.5).softmax(-1).tril()) @ v


def assert_gradients_are_slopes(model: nn.Module, x: Tensor, what: str, *, because: str) -> None:
    """Check that backward() gives the slope of the output along a step of all parameters, in double precision.

    Where the two differ, the parameter whose own slope is wrong is named.
    """
    model, x = model.double(), x.double() if x.is_floating_point() else x
    out = model(x)
    assert_equal(
        str(out.dtype), "torch.float64", f"the dtype of {what} of a model in torch.float64",
        because="What is computed in another type is cast back in the end: rounded, it has no slope to be measured.",
    )  # fmt: skip
    weights = draw("direction", *out.shape).double()
    parameters = dict(model.named_parameters())
    (out * weights).sum().backward()
    slopes = {
        name: p.grad if p.grad is not None else torch.zeros_like(p)
        for name, p in parameters.items()
    }
    steps = {name: draw(f"step of {name}", *p.shape).double() for name, p in parameters.items()}

    def measured(names: list[str]) -> float:
        """The slope along the steps of these parameters, by going a little up and a little down."""
        sums = []
        with torch.no_grad():
            for size in (1e-5, -2e-5):
                for name in names:
                    parameters[name].add_(steps[name], alpha=size)
                sums.append(float((model(x) * weights).sum()))
            for name in names:
                parameters[name].add_(steps[name], alpha=1e-5)
        return (sums[0] - sums[1]) / 2e-5

    def off(names: list[str]) -> tuple[float, float, float]:
        """How far the two are apart in parts of what is allowed, and both."""
        right = measured(names)
        slope = sum(float((slopes[name] * steps[name]).sum()) for name in names)
        return abs(slope - right) / (1e-4 * (1 + abs(right))), slope, right

    if off([*parameters])[0] <= 1:
        return
    far, name = max((off([name]), name) for name in parameters)
    observe(f"the slopes of {what} with wrong gradients", [*far[1:]])
    fail(
        f"the gradient of {what} with respect to `{name}` is wrong, along a random step:",
        expected=f"{number(far[2])}, as measured by going up and down a little",
        got=number(far[1]),
        because=because,
    )
