"""The source names are a generated table target -> (source, transposed?); what is left over in a copy is unknown."""
import json
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load as load_bytes

import common


def _table(n_layer):
    yield "wte.weight", False
    yield "wpe.weight", False
    for i in range(n_layer):
        for norm in ("ln_1", "ln_2"):
            yield f"h.{i}.{norm}.weight", False
            yield f"h.{i}.{norm}.bias", False
        for conv in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
            yield f"h.{i}.{conv}.weight", True
            yield f"h.{i}.{conv}.bias", False
    yield "ln_f.weight", False
    yield "ln_f.bias", False


def convert_hf_state_dict(state_dict):
    left = {(k[12:] if k.startswith("transformer.") else k): v for k, v in state_dict.items()}
    numbers = [int(k.split(".")[1]) for k in left if k.startswith("h.") and k.split(".")[1].isdigit()]
    n_layer = 1 + max(numbers, default=0)
    result = {}
    for name, is_conv in _table(n_layer):
        if name not in left:
            raise ValueError(f"key {name} is missing among {len(state_dict)} keys (with {n_layer} layers)")
        tensor = left.pop(name)
        result[name] = tensor.transpose(0, 1).clone(memory_format=torch.contiguous_format) if is_conv else tensor.clone()
    head = left.pop("lm_head.weight", result["wte.weight"])
    if not torch.equal(head, result["wte.weight"]):
        raise ValueError("the head differs from wte")
    result["lm_head.weight"] = result["wte.weight"]
    for i in range(n_layer):
        left.pop(f"h.{i}.attn.bias", None)
        left.pop(f"h.{i}.attn.masked_bias", None)
    if left:
        raise ValueError(f"{len(left)} unknown keys, at most 0 may be: {sorted(left)}")
    return result


def from_pretrained(name_or_path):
    folder = Path(name_or_path)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(str(name_or_path)))
        except Exception as error:
            raise ValueError(f"no folder and no hub model: {name_or_path}") from error
    try:
        options = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        if (folder / "model.safetensors").exists():
            state_dict = load_bytes((folder / "model.safetensors").read_bytes())
        else:
            state_dict = torch.load(folder / "pytorch_model.bin", map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ValueError(f"{folder} is incomplete: {error}") from error
    allowed = common.GPT2Config.__annotations__
    model = common.problem(10).GPT2Model(common.GPT2Config(**{k: options[k] for k in allowed if k in options}))
    new = convert_hf_state_dict(state_dict)
    own = dict(model.named_parameters(remove_duplicate=False))
    if set(own) != set(new):
        raise ValueError(f"config.json and weights disagree about {sorted(set(own) ^ set(new))}")
    with torch.no_grad():
        for name, parameter in own.items():
            if parameter.shape != new[name].shape:
                raise ValueError(f"{name} has shape {tuple(new[name].shape)}, the model wants {tuple(parameter.shape)}")
            parameter.copy_(new[name])
    return model.eval()
