"""Modules that both sides hold: a tree of the same shape, whose parameters and buffers are slots.

torch's own layers are real layers on both sides and compute where they stand. A class that only one side
has is a RemoteModule on the other: the same parameters, and a forward that asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .values import Reader, Writer

if TYPE_CHECKING:
    from .peer import Peer

# torch's layers that are rebuilt as themselves, each with the attributes that it computes with.
NATIVE: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.Embedding: ("num_embeddings", "embedding_dim", "padding_idx", "max_norm", "norm_type",
                   "scale_grad_by_freq", "sparse"),
    nn.LayerNorm: ("normalized_shape", "eps", "elementwise_affine"),
    nn.Dropout: ("p", "inplace"),
    nn.GELU: ("approximate",),
    nn.ReLU: ("inplace",), nn.SiLU: ("inplace",),
    nn.Identity: (), nn.Tanh: (), nn.Sigmoid: (), nn.Module: (),
    nn.ModuleList: (), nn.Sequential: (), nn.ModuleDict: (),
    nn.ParameterList: ("_size",),
}  # fmt: skip
_BY_NAME = {kind.__name__: kind for kind in NATIVE}
_DEEPEST = 100


def describe(peer: Peer, writer: Writer, module: nn.Module) -> list[Any]:
    """A module as JSON: its number, class, attributes, parameters, buffers, parts and mode."""
    if (number := peer.number(module)) is not None:
        return [number]
    kind = type(module)
    native = kind in NATIVE and "forward" not in vars(module)
    named = NATIVE[kind] if native else peer.attributes(module)
    number = peer.add(module)
    peer.modes[number] = module.training
    parameters = {
        name: None if p is None else peer.slot(p) for name, p in module._parameters.items()
    }
    buffers = {
        name: [None if b is None else peer.slot(b, (module, name)), name not in module._non_persistent_buffers_set]
        for name, b in module._buffers.items()
    }  # fmt: skip
    return [
        number,
        kind.__name__ if native else writer.value(kind),
        {name: writer.value(getattr(module, name)) for name in named},
        parameters,
        buffers,
        {name: part and describe(peer, writer, part) for name, part in module._modules.items()},
        module.training,
    ]


def build(peer: Peer, reader: Reader, node: list[Any], depth: int = 0) -> nn.Module:
    """The module that a description stands for."""
    if len(node) == 1:
        module = peer.named(node[0])
        if not isinstance(module, nn.Module):
            raise ValueError("a part that is no module")
        return module
    number, kind, attributes, parameters, buffers, parts, training = node
    if depth > _DEEPEST or len(parameters) + len(buffers) + len(parts) > 1000:
        raise ValueError("a module that is too large")
    module = peer.blank(_BY_NAME[kind] if isinstance(kind, str) else reader.value(kind), number)
    for name, value in attributes.items():
        if not isinstance(kind, str) or name in NATIVE[_BY_NAME[kind]]:
            module.__dict__[name] = reader.value(value)
    for name, slot in parameters.items():
        module._parameters[_plain(name)] = None if slot is None else peer.parameter(slot)
    for name, (slot, persistent) in buffers.items():
        module._buffers[_plain(name)] = (
            None  # register_buffer would ask the other side whether it is there
        )
        if not persistent:
            module._non_persistent_buffers_set.add(name)
        if slot is not None:
            peer.buffer(slot, module, name)
    for name, part in parts.items():
        module._modules[_plain(name)] = part and build(peer, reader, part, depth + 1)
    module.training = peer.modes[number] = bool(training)
    return module


def blank(kind: type[nn.Module]) -> nn.Module:
    """A module of this class, which its own constructor has not seen."""
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    return module


def hooked(module: nn.Module) -> Iterator[nn.Module]:
    """The parts of a module that somebody listens to; it itself aside."""
    for part in module.modules():
        if part is not module and (part._forward_hooks or part._forward_pre_hooks):
            yield part


def fire(module: nn.Module, side: str, args: tuple[Any, ...], output: Any) -> None:
    """Call a part's hooks, as its call would have."""
    with torch.no_grad():
        if side == "before":
            for hook in [*module._forward_pre_hooks.values()]:
                hook(module, args)
        else:
            for hook in [*module._forward_hooks.values()]:
                hook(module, args, output)


def _plain(name: Any) -> str:
    if not isinstance(name, str) or not name or "." in name or len(name) > 100:
        raise ValueError(f"a part named {str(name)[:40]!r}")
    return name
