"""Reads safetensors with the standard library alone; snapshot_download for the hub; patterns for the names."""

import json
import re
import struct
from pathlib import Path

import torch

from common import GPT2Config, problem

_GPT2Model = problem(10).GPT2Model
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8, "BOOL": torch.bool}

_PATTERNS = [
    (re.compile(r"(wte|wpe)\.weight"), 2),
    (re.compile(r"(h\.\d+\.ln_[12]|ln_f)\.(weight|bias)"), 1),
    (re.compile(r"h\.\d+\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.weight"), -2),  # -2: two axes, to be swapped
    (re.compile(r"h\.\d+\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.bias"), 1),
]
_IGNORED = re.compile(r"h\.\d+\.attn\.(masked_)?bias")


def convert_hf_state_dict(state_dict):
    result, given = {}, {re.sub(r"^transformer\.", "", key): value for key, value in state_dict.items()}
    for key, value in given.items():
        if _IGNORED.fullmatch(key) or key == "lm_head.weight":
            continue
        axes = next((axes for pattern, axes in _PATTERNS if pattern.fullmatch(key)), None)
        if axes is None:
            raise ValueError(f"state dict key {key!r} is not known")
        if value.ndim != abs(axes):
            raise ValueError(f"state dict key {key!r}: wrong number of axes, shape {list(value.shape)}")
        result[key] = torch.einsum("io->oi", value).contiguous() if axes == -2 else value.detach().clone()
    if "wte.weight" not in result:
        raise ValueError("state dict key 'wte.weight' is missing")
    if "lm_head.weight" in given and not torch.equal(given["lm_head.weight"], result["wte.weight"]):
        raise ValueError("state dict key 'lm_head.weight' is not tied to 'wte.weight'")
    result["lm_head.weight"] = result["wte.weight"]
    layers = 1 + max([int(m.group(1)) for m in map(re.compile(r"h\.(\d+)\.").match, result) if m], default=0)
    vocab, width = result["wte.weight"].shape
    inner = result["h.0.mlp.c_fc.weight"].size(0) if "h.0.mlp.c_fc.weight" in result else 4 * width
    positions = result["wpe.weight"].size(0) if "wpe.weight" in result else 1
    template = _shapes(vocab, positions, width, layers, inner)
    for key, shape in template.items():
        if key not in result:
            raise ValueError(f"state dict key {key!r} is missing")
        if tuple(result[key].shape) != shape:
            raise ValueError(f"state dict key {key!r}: shape {tuple(result[key].shape)}, should be {shape}")
    return {key: result[key] for key in template}


def _shapes(vocab, positions, width, layers, inner):
    shapes = {"wte.weight": (vocab, width), "wpe.weight": (positions, width)}
    for i in range(layers):
        for norm in ("ln_1", "ln_2"):
            shapes[f"h.{i}.{norm}.weight"] = shapes[f"h.{i}.{norm}.bias"] = (width,)
        for name, outs, ins in (("attn.c_attn", 3 * width, width), ("attn.c_proj", width, width), ("mlp.c_fc", inner, width), ("mlp.c_proj", width, inner)):
            shapes[f"h.{i}.{name}.weight"], shapes[f"h.{i}.{name}.bias"] = (outs, ins), (outs,)
    shapes["ln_f.weight"] = shapes["ln_f.bias"] = (width,)
    shapes["lm_head.weight"] = (vocab, width)
    return shapes


def _read(path):
    data = path.read_bytes()
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        body, tensors = bytearray(data[8 + length :]), {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            start, stop = entry["data_offsets"]
            if stop > len(body):
                raise ValueError("truncated")
            tensors[name] = torch.frombuffer(body[start:stop], dtype=_DTYPES[entry["dtype"]]).view(entry["shape"])
    except Exception as error:
        raise ValueError(f"model.safetensors at {path} is not a whole safetensors file") from error
    return tensors


def _locate(name_or_path):
    folder = Path(name_or_path)
    if folder.exists():
        return folder
    wanted = ["config.json", "model.safetensors"]
    try:
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(str(name_or_path), allow_patterns=wanted, local_files_only=True))
        except Exception:
            return Path(snapshot_download(str(name_or_path), allow_patterns=wanted))
    except Exception as error:
        raise ValueError(f"{name_or_path}: no folder, no model; {' and '.join(wanted)} in a folder would do") from error


def _config(path):
    try:
        raw = json.loads(path.read_bytes())
        items = raw.items()
    except Exception as error:
        raise ValueError(f"{path} is no JSON object") from error
    demands = {"model_type": ["gpt2"], "activation_function": ["gelu_new"], "scale_attn_by_inverse_layer_idx": [False, None], "tie_word_embeddings": [True, None]}
    for key, value in items:
        if key in demands and value not in demands[key]:
            raise ValueError(f"{path}: {key}={value!r} cannot be handled")
    kinds = dict.fromkeys(["vocab_size", "n_positions", "n_embd", "n_layer", "n_head"], int) | dict.fromkeys(
        ["embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range"], (int, float)
    )
    if raw.get("n_inner") is not None:
        kinds["n_inner"] = int
    for key, kind in kinds.items():
        if key not in raw:
            raise ValueError(f"{path}: {key} is not there")
        if not isinstance(raw[key], kind) or isinstance(raw[key], bool):
            raise ValueError(f"{path}: {key} is of the wrong type")
    return GPT2Config(**{key: raw[key] for key in kinds})


def from_pretrained(name_or_path):
    folder = _locate(name_or_path)
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).exists():
            raise ValueError(f"{name} is not in {folder}")
    config = _config(folder / "config.json")
    state = convert_hf_state_dict(_read(folder / "model.safetensors"))
    shapes = _shapes(config.vocab_size, config.n_positions, config.n_embd, config.n_layer, config.n_inner)
    for key in sorted(shapes.keys() | state.keys()):
        found = tuple(state[key].shape) if key in state else "nothing"
        if found != shapes.get(key, "nothing"):
            raise ValueError(f"{key}: config.json asks for {shapes.get(key, 'nothing')}, model.safetensors has {found}")
    model = _GPT2Model(config)
    model.load_state_dict(state)
    model.train(False)
    return model
