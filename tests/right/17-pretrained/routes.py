"""Each published name has a route: a pattern and what happens to its tensor."""

import json
import os
import re

import torch
from huggingface_hub import hf_hub_download
from safetensors import safe_open

from common import problem

GPT2Config = problem(9).GPT2Config
GPT2Model = problem(10).GPT2Model
KEEP, TURN, DROP = (lambda t: t), (lambda t: torch.einsum("io->oi", t).clone(memory_format=torch.contiguous_format)), None
ROUTES = [
    (r"w[tp]e\.weight|ln_f\.(weight|bias)|lm_head\.weight", KEEP),
    (r"h\.(?P<layer>\d+)\.ln_[12]\.(weight|bias)", KEEP),
    (r"h\.(?P<layer>\d+)\.(attn\.(c_attn|c_proj)|mlp\.(c_fc|c_proj))\.bias", KEEP),
    (r"h\.(?P<layer>\d+)\.(attn\.(c_attn|c_proj)|mlp\.(c_fc|c_proj))\.weight", TURN),
    (r"h\.\d+\.attn\.(masked_)?bias", DROP),
]


def convert_hf_state_dict(state_dict):
    result, per_layer = {}, {}
    for key in state_dict:
        name = key[12:] if key.startswith("transformer.") else key
        for pattern, change in ROUTES:
            if match := re.fullmatch(pattern, name):
                break
        else:
            raise ValueError(f"unknown key {name}")
        if change is DROP:
            continue
        if change is TURN and state_dict[key].ndim != 2:
            raise ValueError(f"{name} is no matrix")
        result[name] = change(state_dict[key])
        if "layer" in match.groupdict():
            per_layer.setdefault(int(match["layer"]), set()).add(name.split(".", 2)[2])
    block = set().union(*per_layer.values()) | {
        f"{part}.{kind}" for part in ("ln_1", "ln_2", "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj") for kind in ("weight", "bias")
    }
    wanted = [f"h.{i}.{n}" for i in range(max(per_layer, default=0) + 1) for n in sorted(block)]
    for name in ("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias", *wanted):
        if name not in result:
            raise ValueError(f"missing key {name}")
    if not torch.equal(result.setdefault("lm_head.weight", result["wte.weight"]), result["wte.weight"]):
        raise ValueError("lm_head.weight is not wte.weight")
    result["lm_head.weight"] = result["wte.weight"]
    return result


def _get(place, file):
    if os.path.isdir(place):
        path = os.path.join(place, file)
        if not os.path.exists(path):
            raise ValueError(f"{place} has no {file}")
        return path
    for local in (True, False):
        try:
            return hf_hub_download(str(place), file, local_files_only=local)
        except Exception as error:
            last = error
    raise ValueError(f"{place} is no folder and not on the hub; config.json and model.safetensors are needed") from last


def from_pretrained(name_or_path):
    with open(_get(name_or_path, "config.json"), "rb") as file:
        try:
            said = dict(json.loads(file.read()).items())
        except Exception as error:
            raise ValueError("config.json cannot be read") from error
    arguments = {"n_inner": None}
    for name, kind in {
        "vocab_size": int, "n_positions": int, "n_embd": int, "n_layer": int, "n_head": int, "embd_pdrop": float, "attn_pdrop": float,
        "resid_pdrop": float, "layer_norm_epsilon": float, "initializer_range": float,
    }.items():
        if isinstance(said.get(name), bool) or not isinstance(said.get(name), (int, kind)):
            raise ValueError(f"config.json: {name} = {said.get(name)!r}")
        arguments[name] = said[name]
    if said.get("n_inner") is not None:
        if not isinstance(said["n_inner"], int):
            raise ValueError("config.json: n_inner")
        arguments["n_inner"] = said["n_inner"]
    if said.get("model_type", "gpt2") != "gpt2" or said.get("activation_function", "gelu_new") != "gelu_new":
        raise ValueError("config.json: model_type or activation_function")
    try:
        with safe_open(_get(name_or_path, "model.safetensors"), framework="pt") as file:
            raw = {key: file.get_tensor(key) for key in file.keys()}
    except ValueError:
        raise
    except Exception as error:
        raise ValueError("model.safetensors cannot be read") from error
    state, model = convert_hf_state_dict(raw), GPT2Model(GPT2Config(**arguments))
    own = model.state_dict()
    if own.keys() != state.keys() or any(own[n].shape != state[n].shape for n in own):
        raise ValueError("config.json and model.safetensors are of two models")
    with torch.no_grad():
        for n, tensor in own.items():
            tensor.copy_(state[n])
    return model.requires_grad_(True).eval()
