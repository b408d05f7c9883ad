"""Where the way back of gradients is cut: lines without whose cut a failing check would pass."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from common.judging.checks import Check
from common.judging.recording import Recording, line_of, tensors_in
from common.judging.records import Outcome, Status

_MOST = 4  # lines that are tried one by one, and told


def where_it_is_cut(check: Check, outcome: Outcome, module: ModuleType) -> str:
    """The lines in which a gradient is lost, if the check passes once it is not; else nothing."""
    if outcome.status != Status.FAILED or "detach()" not in outcome.because:
        return ""
    with _Uncut(module) as uncut:
        mended = check.run(module)
    lines = sorted(uncut.lines)
    if mended.status != Status.PASSED or not lines:
        return ""
    needed = []
    for line in lines[:_MOST]:
        with _Uncut(module, {line}):
            needed += [line] if check.run(module).status != Status.PASSED else []
    told = [f"line {line}, `{line_of(line, module)}`" for line in needed or lines[:1]]
    return f"It is cut in {', and in '.join(told)}: with a gradient there this check passes."


class _Uncut(TorchFunctionMode):
    """Within the block nothing in the module's code is taken off the way back, but in the lines that are spared."""

    def __init__(self, module: ModuleType, spared: Collection[int] = ()) -> None:
        super().__init__()
        self.module, self.spared = module, spared
        self.lines: set[int] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        learn = any(t.requires_grad for t in tensors_in((args, kwargs)))
        places = Recording(self.module).places() if learn else ()
        if not places or places[-1][1] in self.spared:
            return func(*args, **kwargs)
        taken_off = func in (Tensor.detach, torch.detach)
        taken_off |= getattr(func, "__self__", None) is Tensor.data
        if taken_off or not torch.is_grad_enabled():
            self.lines.add(places[-1][1])
        if taken_off:
            return args[0]
        with torch.enable_grad():
            return func(*args, **kwargs)
