"""What checks of optimizers are written with: parameters, gradients set by hand, torch.optim beside them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from common.testing.asserts import RTOL, assert_close
from common.testing.context import current
from common.testing.modules import draw

SHAPES = [(3, 5), (4,), (2, 3, 2), (), (4,)]
_RIGHT: dict[
    tuple[Any, ...], list[Tensor]
] = {}  # what torch.optim makes of the parameters, by what was done


def parameter(values: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    """A leaf that requires a gradient."""
    return torch.as_tensor(values, dtype=dtype, device=draw("d", 1).device).clone().requires_grad_()


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """One of each shape; the first is a transposed matrix, so it does not lie in memory row by row."""
    first, *others = SHAPES
    values = [
        draw("p0", *first[::-1]).mT,
        *(draw(f"p{i}", *shape) for i, shape in enumerate(others, 1)),
    ]
    return [parameter(value, dtype) for value in values]


def gradient(i: int, step: int) -> Tensor:
    """Of parameter i, another in every step, and from entry to entry different by a factor of up to a hundred."""
    return _gradient(i, step, current().seed, current().device)


@cache
def _gradient(i: int, step: int, seed: int, device: torch.device) -> Tensor:
    scale = 10 ** torch.tanh(draw(f"scale {i}", *SHAPES[i]))
    return scale * (draw(f"gradient {i} {step}", *SHAPES[i]) + 0.5)


def give(params: Sequence[Tensor], step: int, size: float = 1.0) -> None:
    """Set each gradient to that of this step."""
    for i, p in enumerate(params):
        p.grad = (size * gradient(i, step)).to(p.dtype)


def walk(params: Sequence[Tensor], optimizer: Any, steps: int, size: float = 1.0) -> None:
    """That many steps, each with other gradients."""
    for t in range(steps):
        give(params, t, size)
        optimizer.step()


_STILL = (
    "It has not moved at all. It is a transposed matrix, whose numbers do not lie in memory row by row: reshape(-1) "
    "and contiguous() give a copy of it, and what is written into the copy does not reach the parameter."
)


def assert_as_torch(
    solution: Any,
    name: str,
    play: FunctionType,
    what: str,
    because: str,
    *,
    dtype: torch.dtype = torch.float32,
    atol: float = 1e-5,
    **settings: Any,
) -> None:
    """Check what `play(params, optimizer)` makes of the parameters against torch.optim's class of that name."""
    here = current()
    known = (name, what, play.__qualname__, dtype, *settings.items(), here.seed, str(here.device))
    if known not in _RIGHT:
        _RIGHT[known] = parameters(dtype)
        play(_RIGHT[known], getattr(torch.optim, name)(_RIGHT[known], **settings))
    theirs, mine = _RIGHT[known], parameters(dtype)
    play(mine, getattr(solution, name)(mine, **settings))
    starts = parameters(dtype)
    others_move = any(
        s.is_contiguous() and not torch.equal(m, s) for m, s in zip(mine, starts, strict=True)
    )
    for i, (my, their, start) in enumerate(zip(mine, theirs, starts, strict=True)):
        still = others_move and not start.is_contiguous() and torch.equal(my, start)
        assert_close(
            my.detach().double(),
            their.detach().double(),
            f"parameter {i} of {name} {what}",
            because=_STILL if still else because,
            atol=atol,
            rtol=min(atol, RTOL) if dtype == torch.float64 else RTOL,
        )


def with_gradient(params: Sequence[Tensor]) -> list[int]:
    """The numbers of the parameters whose gradient is neither None nor zero."""
    return [i for i, p in enumerate(params) if p.grad is not None and bool(p.grad.any())]
