"""Where the way back of gradients is cut: lines without whose cut a failing check would pass."""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from common.judging.checks import Check
from common.judging.recording import Recording, line_of, source_of, tensors_in
from common.judging.records import Outcome, Status

IS_CUT = "It is cut in "
_MOST = 8  # lines that are tried one by one
_OFF = ("no_grad", "inference_mode", "set_grad_enabled")


def where_it_is_cut(check: Check, outcome: Outcome, module: ModuleType) -> str:
    """The lines in which a gradient is lost, if the check passes once it is not; else nothing."""
    if outcome.status != Status.FAILED or "detach()" not in outcome.because:
        return ""
    switches = _switches(module)
    with _Uncut(module, switches) as uncut:
        mended = check.run(module)
    lines = sorted(uncut.lines)
    if mended.status != Status.PASSED:
        return ""
    needed = []
    for line in lines[:_MOST]:
        with _Uncut(module, switches, {line}):
            needed += [line] if check.run(module).status != Status.PASSED else []
    told = [f"line {line}, `{line_of(line, module)}`" for line in needed]
    if not told:
        return ""
    return f"{IS_CUT}{', and in '.join(told)}: with a gradient there this check passes."


class _Uncut(TorchFunctionMode):
    """Within the block nothing in the module's code is taken off the way back, but in the lines that are spared."""

    def __init__(
        self, module: ModuleType, switches: Sequence[_Switch], spared: Collection[int] = ()
    ) -> None:
        super().__init__()
        self.module, self.switches, self.spared = module, switches, spared
        self.lines: set[int] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if _is_of_a_maximum(func, args):
            return func(*args, **kwargs)
        learn = any(t.requires_grad for t in tensors_in((args, kwargs)))
        places = Recording(self.module).places() if learn else ()
        taken_off = func in (Tensor.detach, torch.detach)
        taken_off |= getattr(func, "__self__", None) is Tensor.data
        line = places[-1][1] if places and taken_off else 0
        if not (taken_off or torch.is_grad_enabled()):  # 0 where the check itself switched them off
            line = self._switch([at for _, at in places])
        if not line or line in self.spared:
            return func(*args, **kwargs)
        self.lines.add(line)
        if taken_off:
            return args[0]
        with torch.enable_grad():
            return func(*args, **kwargs)

    def _switch(self, lines: Sequence[int]) -> int:
        """The line that switched gradients off for what is computed in these lines; 0 where none is known."""
        around = [s for s in self.switches if any(s.first <= line <= s.last for line in lines)]
        return around[-1].line if around else 0


def _is_of_a_maximum(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether a maximum is computed, or taken off the way back: subtracted from scores it needs no gradient."""
    made_by = (
        getattr(args[0].grad_fn, "name", str)() if args and isinstance(args[0], Tensor) else ""
    )
    return getattr(func, "__name__", "") in ("max", "amax") or made_by.startswith(("Max", "Amax"))


@dataclass(frozen=True)
class _Switch:
    """A with statement or a decorator that switches gradients off, and the lines for which it does."""

    line: int
    first: int
    last: int


def _switches(module: ModuleType) -> list[_Switch]:
    found = []
    for node in ast.walk(ast.parse(source_of(module))):
        if isinstance(node, ast.With | ast.AsyncWith):
            heads = [item.context_expr for item in node.items]
        else:
            heads = list(getattr(node, "decorator_list", []))
        for head in heads:
            if any(word in ast.unparse(head) for word in _OFF):
                last = getattr(node, "end_lineno", head.lineno)
                found.append(_Switch(head.lineno, head.lineno, last))
    return sorted(found, key=lambda s: s.first)
