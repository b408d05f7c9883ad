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
# The published shapes. The four matrices of a block lie in Conv1D layers, which keep (in, out).
OUTSIDE = {"wte.weight": "V C", "wpe.weight": "P C", "ln_f.weight": "C", "ln_f.bias": "C"}
BLOCK = {
    "ln_1.weight": "C", "ln_1.bias": "C",
    "attn.c_attn.weight": "C 3C", "attn.c_attn.bias": "3C",
    "attn.c_proj.weight": "C C", "attn.c_proj.bias": "C",
    "ln_2.weight": "C", "ln_2.bias": "C",
    "mlp.c_fc.weight": "C F", "mlp.c_fc.bias": "F",
    "mlp.c_proj.weight": "F C", "mlp.c_proj.bias": "C",
}  # fmt: skip
CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
OLD_MASK = re.compile(r"h\.\d+\.attn\.(bias|masked_bias)")
# end of lesson


def convert_hf_state_dict(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Translate a state dict of Hugging Face's GPT-2 into one for GPT2Model.

    Args:
        state_dict: names with or without `transformer.`; it and its tensors stay as they are.

    Returns:
        Exactly the names of GPT2Model's state dict, `lm_head.weight` included.

    Raises:
        ValueError: a key is unknown or missing, a shape does not fit the others, or the head is
            not `wte`; the message names the key.
    """
    # lesson: about 20 lines, helpers included. names -> unknown, missing -> shapes -> transposes
    found = {key.removeprefix("transformer."): tensor for key, tensor in state_dict.items()}
    found = {name: tensor for name, tensor in found.items() if not OLD_MASK.fullmatch(name)}
    head = found.pop("lm_head.weight", None)
    expected = _published_names(found)
    if unknown := sorted(found.keys() - expected.keys()):
        raise ValueError(f"{unknown[0]} is no part of GPT-2: is this another model's checkpoint?")
    if missing := [name for name in expected if name not in found]:
        raise ValueError(f"{missing[0]} is missing ({len(missing)} in all): an incomplete file?")
    _check_shapes(found, expected)
    if head is not None and not torch.equal(head, found["wte.weight"]):
        raise ValueError("lm_head.weight differs from wte.weight: GPT-2's head is tied to wte")
    state = {
        name: found[name].T.contiguous() if name.endswith(CONV1D) else found[name]
        for name in expected
    }
    return state | {"lm_head.weight": state["wte.weight"]}


def _published_names(found: Mapping[str, Tensor]) -> dict[str, str]:
    """Every name up to the last layer that is there, with its shape in letters."""
    numbers = [int(number) for name in found for number in re.findall(r"^h\.(\d+)\.", name)]
    names = dict(OUTSIDE)
    for i in range(max(numbers, default=0) + 1):
        names |= {f"h.{i}.{name}": letters for name, letters in BLOCK.items()}
    return names


def _check_shapes(found: Mapping[str, Tensor], expected: Mapping[str, str]) -> None:
    """Give each letter the size it has where it is first met, which is `wte` for V and C."""
    sizes: dict[str, int] = {}
    for name, letters in expected.items():
        shape, axes = tuple(found[name].shape), letters.split()
        fits = len(shape) == len(axes)
        for letter, size in zip(axes, shape, strict=False):
            fits = fits and sizes.setdefault(letter, size) == size
        if not fits:
            known = ", ".join(f"{a} = {sizes[a]}" for a in dict.fromkeys(axes) if a in sizes)
            raise ValueError(f"{name} has shape {shape}, not ({', '.join(axes)}) with {known}")
        sizes["3C"] = 3 * sizes["C"]


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
    model.load_state_dict(state)  # copies, so that float16 and bfloat16 become float32
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
    """Compare a converted state dict, whose shapes agree among themselves, with the config."""
    found = {
        "vocab_size": state["wte.weight"].size(0),
        "n_embd": state["wte.weight"].size(1),
        "n_positions": state["wpe.weight"].size(0),
        "n_layer": sum(name.endswith("ln_1.weight") for name in state),
        "n_inner": state["h.0.mlp.c_fc.weight"].size(0),
    }
    for name, size in found.items():
        if (said := getattr(config, name)) != size:
            raise ValueError(
                f"{CONFIG} says {name} {said}, but {WEIGHTS} holds a model with {size}"
            )
