"""Pretrained weights, plain version."""
import json
import pathlib
import re

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

from common import GPT2Config, problem

GPT2Model = problem(10).GPT2Model

TRANSPOSED = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
BLOCK = [
    f"{layer}.{kind}"
    for layer in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj")
    for kind in ("weight", "bias")
]
FIELDS = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "embd_pdrop", "attn_pdrop", "resid_pdrop",
          "layer_norm_epsilon", "initializer_range")


def convert_hf_state_dict(state_dict):
    converted, n_layer = {}, 0
    for key, value in state_dict.items():
        name = key.removeprefix("transformer.")
        if re.fullmatch(r"h\.\d+\.attn\.(bias|masked_bias)", name):
            continue
        if name.endswith(TRANSPOSED):
            value = value.t()
        converted[name] = value.detach().clone().contiguous()
        if match := re.match(r"h\.(\d+)\.", name):
            n_layer = max(n_layer, int(match[1]) + 1)
    expected = ["wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"]
    expected += [f"h.{layer}.{name}" for layer in range(max(n_layer, 1)) for name in BLOCK]
    unknown = sorted(set(converted) - set(expected) - {"lm_head.weight"})
    if unknown:
        raise ValueError(f"unknown keys {unknown}, a GPT-2 of {n_layer} layers has {len(expected)} keys")
    missing = sorted(set(expected) - set(converted))
    if missing:
        raise ValueError(f"missing keys {missing}, a GPT-2 of {n_layer} layers has {len(expected)} keys")
    if "lm_head.weight" in converted and not torch.equal(converted["lm_head.weight"], converted["wte.weight"]):
        raise ValueError("lm_head.weight is not wte.weight")
    converted["lm_head.weight"] = converted["wte.weight"]
    return converted


def read(name_or_path, file):
    folder = pathlib.Path(name_or_path)
    if folder.is_dir():
        path = folder / file
        return path if path.exists() else None
    try:
        return pathlib.Path(hf_hub_download(str(name_or_path), file))
    except Exception:
        return None


def from_pretrained(name_or_path):
    path = read(name_or_path, "config.json")
    if path is None:
        raise ValueError(f"{str(name_or_path)!r} is neither a folder with config.json nor a model on the hub")
    stored = json.loads(path.read_text())
    config = GPT2Config(**{field: stored[field] for field in FIELDS if field in stored})
    weights = read(name_or_path, "model.safetensors")
    if weights is not None:
        state_dict = load_file(weights)
    else:
        weights = read(name_or_path, "pytorch_model.bin")
        if weights is None:
            raise ValueError(f"{str(name_or_path)!r} holds no model.safetensors and no pytorch_model.bin")
        state_dict = torch.load(weights, map_location="cpu", weights_only=True)
    model = GPT2Model(config)
    converted = convert_hf_state_dict(state_dict)
    try:
        model.load_state_dict(converted)
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit config.json: {error}") from error
    model.eval()
    return model
