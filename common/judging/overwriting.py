"""Where a tensor is written into that others need: without these lines' writing the check says something else."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from types import ModuleType
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from common.judging.checks import Check
from common.judging.first_line import overwrites_its_input
from common.judging.recording import Recording, line_of, tensors_in
from common.judging.records import Outcome, Status

IN_A_LINE = "It is written to in "
IN_PLACE = (
    "The caller's tensor is overwritten, under its own name or another: after y = x, as a slice, view or reshape of "
    "it, after x.detach(), x.contiguous(), x.float() or x.to(...), which copy nothing where x is that already. Make a "
    "new one."
)
_MOST = 8  # lines that are tried one by one
_CALLERS = re.compile("overwritten|the caller")  # said where something of theirs was written to
_NEEDED = "modified by an inplace operation"  # as torch says of what backward() needs


def writes_outside(outcome: Outcome) -> bool:
    """Whether a check found something of the caller's that was written into."""
    return overwrites_its_input(outcome) or bool(_CALLERS.search(outcome.because))


def where_it_is_overwritten(check: Check, outcome: Outcome, module: ModuleType) -> str:
    """The lines that write into a tensor which the module's code was given, or which backward() needs.

    Empty where they are not to blame.
    """
    needs = _NEEDED in "".join(outcome.facts[:1])
    if not (needs or (outcome.status == Status.FAILED and writes_outside(outcome))):
        return ""
    with _Copying(module, own_too=needs) as copying:
        spared = check.run(module)
    if _claim(spared) == _claim(outcome):
        return ""
    needed = []
    for line in sorted(copying.lines)[:_MOST]:
        with _Copying(module, {line}, own_too=needs):
            needed += [line] if _claim(check.run(module)) == _claim(outcome) else []
    told = [f"line {line}, `{line_of(line, module)}`" for line in needed]
    return f"{IN_A_LINE}{', and in '.join(told)}." if told else ""


def _claim(outcome: Outcome) -> str:
    """What a check found wrong, wherever in the tensor."""
    said = "".join(outcome.facts[:1])
    return _NEEDED if _NEEDED in said else said.partition(" at [")[0]


class _Copying(TorchFunctionMode):
    """Within the block the module's code writes into copies of what it was given, but in the lines that are left.

    Args:
        own_too: into copies of what it has made as well.
    """

    def __init__(
        self, module: ModuleType, left: Collection[int] = (), *, own_too: bool = False
    ) -> None:
        super().__init__()
        self.module, self.left, self.own_too = module, left, own_too
        self.lines: set[int] = set()
        self.own: set[int] = set()  # where the tensors lie that this code has made
        self.kept: list[Tensor] = []  # no memory is given twice while its tensor lives

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        writes = (name.endswith("_") and not name.endswith("__")) or name == "__setitem__"
        target = args[0] if writes and args and isinstance(args[0], Tensor) else None
        given = {*map(_place, tensors_in((args, kwargs)))}
        line = self._line() if target is not None or given - self.own else 0
        if target is not None and line and self._is_given(target):
            self.lines.add(line)
            if line not in self.left:
                args = (target.clone(), *args[1:])
        result = func(*args, **kwargs)
        for tensor in tensors_in(result):
            if _place(tensor) not in given and (line or self._line()):
                self.own.add(_place(tensor))
                self.kept.append(tensor)
        return result

    def _is_given(self, target: Tensor) -> bool:
        given = self.own_too or _place(target) not in self.own
        return given and not isinstance(target, nn.Parameter)

    def _line(self) -> int:
        """The line of the module's own code that is being run; 0 where the check computes by itself."""
        found = [line for _, line in Recording(self.module).places()]
        return found[-1] if found else 0


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
