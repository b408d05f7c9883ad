"""Where an exception came from, for the rules that say what it usually means."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from torch import Tensor

Match = re.Match[str]


@dataclass(frozen=True)
class Scene:
    """Where an exception came from: the text of the innermost expression of the learner's, and what stands in it."""

    error: BaseException
    expression: str = ""
    values: dict[str, object] = field(default_factory=dict)  # by how they are written: "self.mask"
    own_guard: bool = False  # an `assert` or `raise` in the file under test
    other_guard: bool = False  # one in an earlier part that it calls

    @property
    def tensors(self) -> dict[str, Tensor]:
        return {name: v for name, v in self.values.items() if isinstance(v, Tensor)}


Rule = tuple[str, str | Callable[[Scene, Match], str]]


def alike(name: str, known: Iterable[str]) -> str:
    """The known name that was perhaps meant; empty where none is close."""
    close = difflib.get_close_matches(name, [k for k in known if k != name], n=1, cutoff=0.6)
    return close[0] if close else ""
