"""Checkpoints as Hugging Face writes GPT-2's: drawn here, so that nothing touches a network.

Shapes: C n_embd, V vocab_size, P n_positions, F n_inner.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from common.testing.context import current
from common.testing.modules import draw

V, P, C, F, LAYERS, HEADS = 29, 11, 24, 41, 2, 3
CONFIG, WEIGHTS = "config.json", "model.safetensors"
# As published: the fields that matter, and some of those that do not.
FIELDS: dict[str, Any] = {
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.2,
    "bos_token_id": 28, "embd_pdrop": 0.1, "eos_token_id": 28, "initializer_range": 0.05,
    "layer_norm_epsilon": 0.03, "model_type": "gpt2", "n_ctx": P + 2, "n_embd": C, "n_head": HEADS,
    "n_inner": F, "n_layer": LAYERS, "n_positions": P, "resid_pdrop": 0.3,
    "summary_type": "cls_index", "vocab_size": V,
    "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
}  # fmt: skip
DROPPED = object()  # in place of a field's value: the field is not there


def names(layers: int = LAYERS) -> list[str]:
    """The names in GPT2Model's state dict."""
    return [*_shapes(layers), "lm_head.weight"]


def is_conv1d(name: str) -> bool:
    """Whether this weight lies in a Conv1D, as (in, out)."""
    return name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight"))


def published(
    layers: int = LAYERS,
    *,
    prefix: str = "",
    masks: bool = False,
    head: bool = False,
    n_inner: int = F,
) -> dict[str, Tensor]:
    """A state dict as it lies in a file, made afresh: whoever gets it may spoil it."""
    state = {
        prefix + name: tensor.clone()
        for name, tensor in _drawn(layers, n_inner, current().seed).items()
    }
    if masks:
        for i in range(layers):
            state[f"{prefix}h.{i}.attn.bias"] = torch.ones(P, P).tril().view(1, 1, P, P)
            state[f"{prefix}h.{i}.attn.masked_bias"] = torch.tensor(-1e4)
    if head:
        state["lm_head.weight"] = state[prefix + "wte.weight"].clone()
    return state


def converted(layers: int = LAYERS) -> dict[str, Tensor]:
    """What GPT2Model's state dict must hold for `published`."""
    drawn = _drawn(layers, F, current().seed)
    state = {name: t.T.contiguous() if is_conv1d(name) else t for name, t in drawn.items()}
    return state | {"lm_head.weight": state["wte.weight"]}


def as_file(dtype: torch.dtype = torch.float32, **choice: Any) -> bytes:
    """The bytes of a model.safetensors with what `published` gives."""
    return _saved(current().seed, dtype, tuple(choice.items()))


@cache
def _saved(seed: int, dtype: torch.dtype, choice: tuple[tuple[str, Any], ...]) -> bytes:
    state = published(**dict(choice))
    return save({name: tensor.to(dtype) for name, tensor in state.items()}, {"format": "pt"})


@contextmanager
def folder(
    weights: bytes | Mapping[str, Tensor] | None = None,
    files: Mapping[str, bytes | None] | None = None,
    name: str = "model",
    **fields: Any,
) -> Generator[str]:
    """The path of a folder in Hugging Face's format.

    Args:
        weights: the bytes of model.safetensors, or a state dict for it.
        files: further files, or other contents; None leaves a file out.
        fields: what config.json says otherwise; a field that is DROPPED is not there.
    """
    if weights is None:
        weights = as_file(prefix="transformer.")
    chosen = {key: value for key, value in {**FIELDS, **fields}.items() if value is not DROPPED}
    contents = {
        CONFIG: json.dumps(chosen, indent=2).encode(),
        WEIGHTS: weights if isinstance(weights, bytes) else save(dict(weights)),
        **(files or {}),
    }
    with tempfile.TemporaryDirectory(prefix="gpt2-") as above:
        path = Path(above, name)
        path.mkdir(parents=True)
        for file, content in contents.items():
            if content is not None:
                path.joinpath(file).write_bytes(content)
        try:
            yield str(path)
        except Exception as error:
            _without(above, error)
            raise


def _without(above: str, error: Exception) -> None:
    """Take the name of a folder, which differs from run to run, out of an error."""
    args = (arg.replace(above, "...") if isinstance(arg, str) else arg for arg in error.args)
    error.args = tuple(args)
    if isinstance(error, OSError) and isinstance(error.filename, str):
        error.filename = error.filename.replace(above, "...")


@cache
def _shapes(layers: int, n_inner: int = F) -> dict[str, tuple[int, ...]]:
    """The published names and shapes."""
    block = {
        "ln_1": (C,), "attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C),
        "ln_2": (C,), "mlp.c_fc": (C, n_inner), "mlp.c_proj": (n_inner, C),
    }  # fmt: skip
    layer = {f"h.{i}.{name}": shape for i in range(layers) for name, shape in block.items()}
    shapes: dict[str, tuple[int, ...]] = {"wte.weight": (V, C), "wpe.weight": (P, C)}
    for name, shape in (layer | {"ln_f": (C,)}).items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[-1:]}
    return shapes


@cache
def _drawn(layers: int, n_inner: int, seed: int) -> dict[str, Tensor]:
    """A tensor for every published name, which follows from its name, its shape and the seed of all draws."""
    state = {}
    for name, shape in _shapes(layers, n_inner).items():
        noise = draw(name, *shape).cpu()
        if name.endswith("bias"):
            state[name] = 0.5 * noise
        else:
            state[name] = 1 + 0.4 * noise if len(shape) == 1 else 1.5 * noise / C**0.5
    return state
