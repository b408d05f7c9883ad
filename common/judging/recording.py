"""What a learner's code computes on its way, tensor by tensor, with the line that made each."""

from __future__ import annotations

import inspect
import linecache
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType, ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_DROPOUT = (F.dropout, torch.dropout)
_MOST = 3000  # steps; a training loop makes more, and its lines are gone through many times
_LARGEST = 50_000  # entries of a tensor that is kept


@dataclass(frozen=True, eq=False)
class Step:
    """One tensor that was made: by which operation, from which others, in which lines.

    Args:
        inputs: the steps that made its arguments.
        given: the arguments that came from outside, as they were then.
        places: (function, line) in the module's own file, the innermost last.
    """

    operation: str
    value: Tensor
    inputs: tuple[Step, ...]
    places: tuple[tuple[str, int], ...]
    given: tuple[Tensor, ...] = ()

    def place(self, trusted: frozenset[str]) -> tuple[str, int]:
        """The innermost line that is not inside of a function that is known to be right."""
        own = [place for place in self.places if place[0] not in trusted]
        return (own or list(self.places))[-1]


@dataclass
class Recording(TorchFunctionMode):
    """Notes each tensor that the code of a module makes while the block runs.

    Dropout is replaced by a factor, so that two recordings compare in train mode too.

    Args:
        handed_out: what the check went on to work with.
        full: more was computed than can be compared, or something was learned.
    """

    module: ModuleType
    steps: list[Step] = field(default_factory=list)
    outside: list[Tensor] = field(default_factory=list)
    handed_out: list[Step] = field(default_factory=list)
    full: bool = False

    def __post_init__(self) -> None:
        super().__init__()
        self.made: dict[int, Step] = {}  # by the tensor's id
        self.seen: dict[int, Tensor] = {}  # what came from outside, likewise
        self.kept: list[Tensor] = []  # no id is given twice while its tensor lives

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        result = (_steady if func in _DROPOUT else func)(*args, **kwargs)
        if name in ("__get__", "backward", "size", "dim", "numel", "stride", "is_contiguous"):
            self.full |= name == "backward"
            return result
        given = [t for t in tensors_in((args, kwargs)) if t.numel() <= _LARGEST]
        places = () if self.full else self.places()
        in_place = name.endswith("_") and not name.endswith("__")
        changed = given[:1] if in_place or name in ("__setitem__", "__set__") else []
        if not places:
            self.handed_out += [self.made[id(t)] for t in given if id(t) in self.made]
            for tensor in changed:
                self.made.pop(id(tensor), None)  # written anew from outside
            return result
        self._note(name, changed or [*tensors_in(result)], given, places)
        return result

    def _note(
        self,
        name: str,
        made: list[Tensor],
        given: list[Tensor],
        places: tuple[tuple[str, int], ...],
    ) -> None:
        inputs, outside = [], []
        for tensor in given:
            if step := self.made.get(id(tensor)):
                inputs.append(step)
            else:
                outside.append(self._from_outside(tensor))
        for tensor in made:
            if tensor.numel() > _LARGEST:
                continue
            step = Step(name, tensor.detach().clone(), tuple(inputs), places, tuple(outside))
            self.steps.append(step)
            self.made[id(tensor)] = step
            self.kept.append(tensor)
        self.full |= len(self.steps) > _MOST

    def _from_outside(self, tensor: Tensor) -> Tensor:
        """Its values now; a copy is made where they have changed since they were seen last."""
        known = self.seen.get(id(tensor))
        if known is None or not torch.equal(known, tensor.detach()):
            known = self.seen[id(tensor)] = tensor.detach().clone()
            self.kept.append(tensor)
            self.outside.append(known)
        return known

    def places(self) -> tuple[tuple[str, int], ...]:
        """Where the module's own code is; nowhere while it builds its layers, whose values count as given."""
        found = []
        frame: FrameType | None = inspect.currentframe()
        while frame is not None:
            if frame.f_globals is self.module.__dict__:
                if frame.f_code.co_name == "__init__":
                    return ()
                found.append((frame.f_code.co_name, frame.f_lineno))
            frame = frame.f_back
        return tuple(reversed(found))


def line_of(line: int, module: ModuleType) -> str:
    """The text of a line of the module's file."""
    return linecache.getline(_file_of(module), line).strip()


def source_of(module: ModuleType) -> str:
    """The text of the module's file."""
    return "".join(linecache.getlines(_file_of(module)))


def _file_of(module: ModuleType) -> str:
    name = f"<{module.__name__}>"
    return name if name in linecache.cache else str(module.__file__)


def _steady(x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    return x * (1 + p) if training else x * 1


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors among some arguments."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from tensors_in(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
