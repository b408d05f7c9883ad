"""Pretrained weights: from Hugging Face's two files to a GPT2Model that answers as theirs does.

Shapes: C n_embd, V vocab_size, P n_positions, F n_inner.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from common import problem

GPT2Config = problem(9).GPT2Config
GPT2Model = problem(10).GPT2Model

CONFIG, WEIGHTS = "config.json", "model.safetensors"
# lesson
SIZES = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
RATES = ("embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range")
# What config.json can ask for beyond sizes and rates, and the only answer that our model knows.
FIXED = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",  # the tanh approximation
    "scale_attn_weights": True,
    "scale_attn_by_inverse_layer_idx": False,
    "tie_word_embeddings": True,
}
# A block's layers, each with a weight and a bias. Those that are a Conv1D keep their weight as (in, out).
BLOCK = ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
CONV1D = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
OLD_MASK = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")
# end of lesson


def convert_hf_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate a state dict of Hugging Face's GPT-2 into one for GPT2Model.

    Args:
        state_dict: names with or without `transformer.`; it and its tensors stay as they are.

    Returns:
        Exactly the names of GPT2Model's state dict, `lm_head.weight` included.

    Raises:
        ValueError: a key is unknown or missing, or the head is not `wte`; the message names the key.
    """
    # lesson: about 20 lines, helpers included. names -> unknown, missing -> transposes -> head
    found = {key.removeprefix("transformer."): tensor for key, tensor in state_dict.items()}
    found = {name: tensor for name, tensor in found.items() if not OLD_MASK.fullmatch(name)}
    names = _names(found)
    if unknown := sorted(found.keys() - {*names, "lm_head.weight"}):
        raise ValueError(f"{unknown[0]} is no part of GPT-2: is this another model's checkpoint?")
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"{missing[0]} is missing ({len(missing)} in all): an incomplete file?")
    head = found.get("lm_head.weight", found["wte.weight"])
    if not torch.equal(head, found["wte.weight"]):
        raise ValueError("lm_head.weight differs from wte.weight: GPT-2's head is tied to wte")
    state = {}
    for name in names:
        tensor = found[name]
        state[name] = tensor.T.contiguous() if name.endswith(CONV1D) else tensor
    state["lm_head.weight"] = state["wte.weight"]
    return state


def _names(found: Mapping[str, Tensor]) -> list[str]:
    """All names of a GPT-2 whose last layer is the last one here, but for the tied head's."""
    numbers = [int(number) for name in found for number in re.findall(r"^h\.(\d+)\.", name)]
    layers = [f"h.{i}.{layer}" for i in range(max(numbers, default=0) + 1) for layer in BLOCK]
    learned = [f"{layer}.{kind}" for layer in (*layers, "ln_f") for kind in ("weight", "bias")]
    return ["wte.weight", "wpe.weight", *learned]


def from_pretrained(name_or_path: str | Path) -> GPT2Model:
    """Load a GPT-2 that was saved in Hugging Face's format.

    Args:
        name_or_path: a folder with config.json and model.safetensors, or a name on the hub.

    Returns:
        The model in float32, in eval mode.

    Raises:
        ValueError: a file is missing or damaged, the config asks for what GPT2Model is not, or
            config and weights disagree; the message names the file, field or key.
    """
    # lesson: about 40 lines, helpers included. two files -> config -> weights -> model in eval mode
    config_file, weights_file = _files(name_or_path)
    config = _read_config(config_file)
    try:
        published = load_file(weights_file)
    except Exception as error:  # SafetensorError, or OSError from the disk: one way out for both
        raise ValueError(f"{weights_file} is damaged ({error}): fetch it again") from error
    state = convert_hf_state_dict(published)
    _check_sizes(state, config)  # before the model is built: a wrong size may be a huge one
    model = GPT2Model(config)
    try:
        model.load_state_dict(state)  # copies, so that float16 and bfloat16 become float32
    except RuntimeError as error:
        raise ValueError(f"{weights_file} does not fit {CONFIG}: {error}") from error
    return model.eval()


def _files(name_or_path: str | Path) -> list[Path]:
    """The paths of config.json and model.safetensors."""
    folder = Path(name_or_path)
    if not folder.is_dir():
        return _fetch(str(name_or_path))
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            there = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
            raise ValueError(
                f"{folder} has no {name}, only {there}: weights in one safetensors file are "
                "wanted, as transformers' save_pretrained writes them for a model of this size"
            )
    return [folder / CONFIG, folder / WEIGHTS]


def _fetch(name: str) -> list[Path]:  # given
    """The paths of the two files in the hub's cache, where a download puts them if need be."""
    try:
        from huggingface_hub import hf_hub_download  # only here: a local folder needs no hub

        try:
            # Asked first, as a call that may use the network takes 24 s to find out it has none.
            return [
                Path(hf_hub_download(name, file, local_files_only=True))
                for file in (CONFIG, WEIGHTS)
            ]
        except OSError:
            return [Path(hf_hub_download(name, file)) for file in (CONFIG, WEIGHTS)]
    except Exception as error:  # no such name, no network, no hub package: one way out for all
        raise ValueError(
            f"{name!r} is no folder here, and the hub did not give it ({type(error).__name__}): "
            f"put its {CONFIG} and {WEIGHTS} into a folder and give that folder's path"
        ) from error


def _read_config(path: Path) -> GPT2Config:
    """The shape and rates in a config.json; its other fields are not our business."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:  # not JSON, not UTF-8, or not readable
        raise ValueError(f"{path} is damaged ({error}): fetch it again") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{path} holds a {type(fields).__name__}, not fields with values")
    for name, only in FIXED.items():
        if fields.get(name, only) != only:
            raise ValueError(f"{path}: {name} is {fields[name]!r}; GPT2Model knows only {only!r}")
    chosen = {name: fields.get(name) for name in (*SIZES, *RATES)}
    if fields.get("n_inner") is not None:  # published files leave it out, or say null
        chosen["n_inner"] = fields["n_inner"]
    for name, value in chosen.items():
        kinds = (int, float) if name in RATES else (int,)
        if type(value) not in kinds:  # not isinstance, which takes True for an int
            raise ValueError(
                f"{path}: {name} must be a number, not {fields.get(name, 'missing')!r}"
            )
    try:
        return GPT2Config(**chosen)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _check_sizes(state: Mapping[str, Tensor], config: GPT2Config) -> None:
    """Compare a converted state dict with the sizes that a model of this config would have."""
    axes = {
        "vocab_size": ("wte.weight", 0),
        "n_embd": ("wte.weight", 1),
        "n_positions": ("wpe.weight", 0),
        "n_inner": ("h.0.mlp.c_fc.weight", 0),
    }
    for field, (name, axis) in axes.items():
        said, shape = getattr(config, field), tuple(state[name].shape)
        if shape[axis : axis + 1] != (said,):
            raise ValueError(f"{CONFIG} says {field} {said}, but in {WEIGHTS} {name} is {shape}")
    layers = sum(name.endswith("ln_1.weight") for name in state)
    if layers != config.n_layer:
        raise ValueError(f"{CONFIG} says n_layer {config.n_layer}, but {WEIGHTS} has {layers}")
