"""What only the student's side can say of its own doings. The checks hear it as they would in one process.

All of it is claimed by the process that runs the student's code, so it proves nothing by itself: GRADING.md
says which checks rest on it, and the marks count those only beside others that compare numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.overrides import TorchFunctionMode

from .slots import Slots

_MOST_OPERATIONS = 20_000  # of one call


# --- what torch computed: for a mode that a check has switched on ---------------------------------


class Operations(TorchFunctionMode):
    """Notes each operation: what it was given, and the shape that came out, or the error."""

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self.slots, self.noted = slots, []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = [self._named(a) for a in args if isinstance(a, Tensor)]
        try:
            result = func(*args, **(kwargs or {}))
        except RuntimeError as error:
            self._note([given, str(error)[:300], False])
            raise
        if isinstance(result, Tensor):
            self._note([given, [*result.shape], result.requires_grad])
        return result

    def _named(self, tensor: Tensor) -> int | list[int]:
        number = self.slots.number(tensor)
        return [*tensor.shape] if number is None else number

    def _note(self, operation: list[Any]) -> None:
        if len(self.noted) < _MOST_OPERATIONS:
            self.noted.append(operation)


def replay(
    modes: list[TorchFunctionMode], slots: Slots, noted: list[Any], failure: type[Exception]
) -> None:
    """Let modes hear of operations that the other side noted; empty tensors stand for what it computed with."""
    for given, result, needs_grad in noted:
        args = [slots[g].now() if isinstance(g, int) else _empty(g) for g in given]
        for mode in modes:
            with contextlib.suppress(failure):
                mode.__torch_function__(_function(result, needs_grad, failure), (), tuple(args), {})


def _function(result: Any, needs_grad: bool, failure: type[Exception]) -> Callable[..., Tensor]:
    def function(*_: Any, **__: Any) -> Tensor:
        if isinstance(result, str):
            raise failure(result)
        return _empty(result).detach().requires_grad_(needs_grad is True)

    return function


def _empty(shape: Any) -> Tensor:
    """A tensor of that shape in next to no memory."""
    return torch.empty(()).expand([int(n) for n in shape])


# --- what became of modules that the checks handed over -------------------------------------------


class Structure:
    """A module's attributes, parts and parameters, to be compared with later."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.kind = module, type(module)
        self.attributes = {*vars(module)}
        self.parts = dict(module._modules)
        self.parameters = dict(module._parameters)

    def changes(self) -> list[list[str]] | None:
        """New attributes, other parts and other parameters, by name; another class counts as an attribute."""
        attributes = [*{*vars(self.module)} - self.attributes]
        attributes += ["__class__"] * (type(self.module) is not self.kind)
        parts = _differing(self.parts, self.module._modules)
        parameters = _differing(self.parameters, self.module._parameters)
        return [attributes, parts, parameters] if attributes or parts or parameters else None


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [n for n in before.keys() | after.keys() if before.get(n) is not after.get(n)]


def names_of(changes: Any) -> list[list[str]]:
    """What `Structure.changes` says, as it came from the other side.

    Raises:
        ValueError, TypeError: it is no such thing.
    """
    attributes, parts, parameters = changes
    return [[str(name) for name in names] for names in (attributes, parts, parameters)]


def restructure(module: nn.Module, changes: list[list[str]]) -> None:
    """Do to a check's module what was done to the other side's: other things stand in the same places."""
    attributes, parts, parameters = changes
    for name in attributes:
        if name == "__class__":
            module.__class__ = type(type(module).__name__, (type(module),), {})
        else:
            module.__dict__.setdefault(name, None)
    for name in parts:
        module._modules[name] = nn.Module()
    for name in parameters:
        old = module._parameters.get(name)
        module._parameters[name] = None if old is None else nn.Parameter(old.detach().clone())


# --- one object twice ------------------------------------------------------------------------------


def place_of(value: Any) -> Any:
    """What two names of one object have in common: two tensors are one where they lie in the same memory."""
    if isinstance(value, Tensor) and value.numel():
        return value.data_ptr(), value.dtype, value.shape, value.stride()
    return id(value)


# --- the steps of optimizers, where a check listens to them ---------------------------------------


@contextlib.contextmanager
def steps_told(
    slots: Slots, tell: Callable[[int, list[tuple[int, Tensor | None]]], Any]
) -> Generator[None]:
    """Tell of each step of any of torch's optimizers: which one it is, and the gradients that it found."""

    def stepped(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        held = [p for group in optimizer.param_groups for p in group["params"]]
        known = [(number, p.grad) for p in held if (number := slots.number(p)) is not None]
        with torch.no_grad():
            tell(id(optimizer), [(n, None if g is None else g.detach()) for n, g in known])

    handle = register_optimizer_step_post_hook(stepped)
    try:
        yield
    finally:
        handle.remove()


class Optimizer:
    """Stands for an optimizer of the other side in the hooks that a check has registered."""

    def __init__(self) -> None:
        self.param_groups: list[dict[str, Any]] = [{"params": []}]

    def stepped(
        self, slots: Slots, found: list[tuple[int, Tensor | None]], hooks: list[Any]
    ) -> None:
        """Show the parameters with these gradients to the hooks."""
        self.param_groups[0]["params"] = [slots[number].now() for number, _ in found]
        for number, gradient in found:
            slots[number].now().grad = gradient
        for hook in hooks:
            hook(self, (), {})


# --- the steps of a training run, where a check has one recorded ---------------------------------


def as_now(value: Any) -> Any:
    """What an event is about, as it is now: the code may go on to write into it. What has a graph stays itself."""
    if isinstance(value, Tensor):
        return value if value.requires_grad else value.clone()
    return type(value)(map(as_now, value)) if type(value) in (tuple, list) else value


def is_step(step: Any) -> bool:
    """Whether this is what common.testing.recording notes of a step."""
    kinds = {
        "ids": Tensor, "before": dict, "random": Tensor, "training": bool, "error": Tensor, "stale": list,
        "left": dict, "found": dict, "rates": list, "optimizer": int,
    }  # fmt: skip
    return (
        isinstance(step, dict)
        and step.keys() == kinds.keys()
        and all(isinstance(step[name], kind) for name, kind in kinds.items())
        and all(isinstance(name, str) for name in step["stale"])
        and all(isinstance(rate, float) for rate in step["rates"])
        and all(
            isinstance(n, str) and isinstance(p, Tensor)
            for part in ("before", "left", "found")
            for n, p in step[part].items()
        )
    )
