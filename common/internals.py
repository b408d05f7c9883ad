"""All that this project uses of other packages' private parts, each with a test of its own in test_internals.py.

A new version that changes one of these breaks that test and nobody's lesson: without them everything works,
only more slowly.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"


class _StandIn(ModuleType):
    """Answers for torch's compiler until something asks for more than these two functions."""

    @staticmethod
    def graph_break(*_: object, **__: object) -> None:
        """Outside of compiled code this does nothing in the real package either."""

    @staticmethod
    def disable(fn: Any = None, recursive: bool = True, **_: object) -> Any:
        return fn if fn is not None else lambda function: function

    def __getattr__(self, name: str) -> Any:
        # Whoever walks over all modules wants nothing of this one; __path__ is asked for by imports of its parts.
        if name.startswith("__") and name != "__path__":
            raise AttributeError(name)
        if sys.modules.get(_COMPILER) is self:
            import torch

            del sys.modules[_COMPILER]
            torch.__dict__.pop("_dynamo", None)
            importlib.import_module(_COMPILER)
        return getattr(sys.modules[_COMPILER], name)


def put_off_the_compiler() -> None:
    """Keep torch.optim from importing torch's compiler.

    Making the first optimizer imports it, and with it sympy: about a second, longer than all of a
    problem's checks together, only to learn that nothing is being compiled.
    """
    import torch

    if _COMPILER not in sys.modules:
        stand_in = _StandIn(_COMPILER)
        sys.modules[_COMPILER] = stand_in
        setattr(torch, "_dynamo", stand_in)  # noqa: B010 (a type checker knows the real one)


def function_modes() -> list[Any]:
    """The TorchFunctionModes that are switched on, the outermost first."""
    from torch import overrides

    return [*overrides._get_current_function_mode_stack()]


def optimizer_hooks() -> list[Any]:
    """The hooks that were registered for the steps of all of torch's optimizers."""
    from torch.optim import optimizer

    return [*optimizer._global_optimizer_post_hooks.values()]
