"""What autograd remembers of a result, and whether all that it leads back to is the model's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from common.testing.asserts import fail
from common.testing.context import observe


def nodes_of(result: Tensor) -> Iterator[Any]:
    """The nodes of the graph behind a result, each once."""
    seen, left = set(), [result.grad_fn]
    while left:
        node = left.pop()
        if node is not None and node not in seen:
            seen.add(node)
            yield node
            left += [before for before, _ in node.next_functions]


def assert_all_that_learns_is_the_models(model: torch.nn.Module, result: Tensor) -> None:
    """Check that every tensor that a gradient of the result is kept for is a parameter of the model."""
    own = {id(p) for p in model.parameters()}
    leaves = (getattr(node, "variable", None) for node in nodes_of(result))
    strange = [tuple(leaf.shape) for leaf in leaves if leaf is not None and id(leaf) not in own]
    observe("tensors that learn outside of the model", strange)
    if strange:
        fail(
            f"{len(strange)} tensors behind the logits require a gradient and are no parameters of the model:",
            expected="each of them in model.parameters()",
            got=f"not there: one of shape {strange[0]}",
            because="The optimizer gets model.parameters(), so what is not among them never learns, and no one clears "
            f"its gradient. {hidden(model)}".strip(),
        )


def hidden(model: torch.nn.Module) -> str:
    """Where layers stand that the model does not count as its own."""
    own = {id(p) for p in model.parameters()}
    for part in model.modules():
        for name, value in vars(part).items():
            inner = [*value.values()] if isinstance(value, dict) else value
            if name.startswith("_") or not isinstance(inner, list | tuple):
                continue
            layers = torch.nn.ModuleList(v for v in inner if isinstance(v, torch.nn.Module))
            held = [*layers.parameters(), *(v for v in inner if isinstance(v, torch.nn.Parameter))]
            if any(id(p) not in own for p in held):
                return (
                    f"`{name}` is a plain {type(value).__name__}, and what stands in one is none of the model's: "
                    "model.parameters() does not give it. nn.ModuleList and nn.ParameterList do."
                )
    return ""
