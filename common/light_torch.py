"""Keep torch.optim from importing torch's compiler.

Making the first optimizer imports torch._dynamo, and with it sympy: about a second, longer than all
of a problem's checks together, only to learn that nothing is being compiled. Until something asks
for more than these two functions, a stand-in answers; then the real package takes its place.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

import torch

_NAME = "torch._dynamo"


class _StandIn(ModuleType):
    @staticmethod
    def graph_break(*_: object, **__: object) -> None:
        """Outside of compiled code this does nothing in the real package either."""

    @staticmethod
    def disable(fn: Any = None, recursive: bool = True, **_: object) -> Any:
        return fn if fn is not None else lambda function: function

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
            torch.__dict__.pop("_dynamo", None)
            importlib.import_module(_NAME)
        return getattr(sys.modules[_NAME], name)


def install() -> None:
    """Put the stand-in in place, unless the real package is already there."""
    if _NAME not in sys.modules:
        stand_in = _StandIn(_NAME)
        sys.modules[_NAME] = stand_in
        setattr(torch, "_dynamo", stand_in)  # noqa: B010 (a type checker knows the real one)
