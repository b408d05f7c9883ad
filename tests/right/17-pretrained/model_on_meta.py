"""A model without memory says which names and shapes there are; the real one is filled layer by layer."""

import json
import pathlib

import safetensors.torch
import torch

from common import problem

GPT2Model, GPT2Config = problem(10).GPT2Model, problem(9).GPT2Config
LAYERS_TURNED = {"c_attn", "c_proj", "c_fc"}


def plan(layers, **sizes):
    """Names and shapes of a model with so many layers; for names alone any sizes will do."""
    fields = {"vocab_size": 1, "n_positions": 1, "n_embd": 1, "n_head": 1, **sizes}
    with torch.device("meta"):
        return {name: tuple(t.shape) for name, t in GPT2Model(GPT2Config(n_layer=layers, **fields)).state_dict().items()}


def is_turned(name):
    return name.endswith(".weight") and name.split(".")[-2] in LAYERS_TURNED


def convert_hf_state_dict(state_dict):
    short = {}
    for key, tensor in state_dict.items():
        *_, name = key.split("transformer.", 1)
        if not name.endswith((".attn.bias", ".attn.masked_bias")):
            short[name] = tensor
    numbers = {name.split(".")[1] for name in short if name.startswith("h.")}
    if not all(n.isdecimal() for n in numbers):
        raise ValueError(f"layers are numbered, not {numbers}")
    wanted = plan(1 + max(map(int, numbers), default=0))
    strange = [name for name in short if name not in wanted]
    if strange:
        raise ValueError("not GPT-2's: " + ", ".join(strange))
    lacking = [name for name in wanted if name not in short and name != "lm_head.weight"]
    if lacking:
        raise ValueError("not in the file: " + ", ".join(lacking))
    head = short.pop("lm_head.weight", short["wte.weight"])
    if head.shape != short["wte.weight"].shape or bool((head != short["wte.weight"]).any()):
        raise ValueError("lm_head.weight and wte.weight differ")
    short["lm_head.weight"] = short["wte.weight"]
    return {name: short[name].mT.contiguous() if is_turned(name) else short[name] for name in wanted}


def files_of(place):
    folder = pathlib.Path(place)
    if folder.is_dir():
        paths = [folder / "config.json", folder / "model.safetensors"]
        for path in paths:
            if not path.is_file():
                raise ValueError(f"{path} does not exist")
        return paths
    import huggingface_hub

    for offline in (True, False):
        try:
            return [
                pathlib.Path(huggingface_hub.hf_hub_download(str(place), file, local_files_only=offline))
                for file in ("config.json", "model.safetensors")
            ]
        except Exception as error:
            why = error
    raise ValueError(f"{place}: neither a folder with config.json and model.safetensors nor on the hub") from why


def read_config(path):
    try:
        fields = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if type(fields) is not dict:
        raise ValueError(f"{path}: no object")
    fields = {"model_type": "gpt2", "activation_function": "gelu_new", "tie_word_embeddings": True,
              "scale_attn_by_inverse_layer_idx": False, **fields}
    if (fields["model_type"], fields["activation_function"]) != ("gpt2", "gelu_new") or not fields["tie_word_embeddings"]:
        raise ValueError(f"{path}: model_type, activation_function or tie_word_embeddings")
    if fields["scale_attn_by_inverse_layer_idx"]:
        raise ValueError(f"{path}: scale_attn_by_inverse_layer_idx")
    chosen = {}
    for name, kinds in [
        *((n, (int,)) for n in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")), ("n_inner", (int, type(None))),
        *((n, (int, float)) for n in ("embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range")),
    ]:
        value = fields.get(name) if name == "n_inner" else fields.get(name, "nothing")
        if type(value) not in kinds:
            raise ValueError(f"{path}: {name} is {value!r}")
        chosen[name] = value
    return GPT2Config(**chosen)


def from_pretrained(name_or_path):
    config_path, weights_path = files_of(name_or_path)
    config = read_config(config_path)
    try:
        published = safetensors.torch.load(weights_path.read_bytes())
    except Exception as error:
        raise ValueError(f"{weights_path}: {error}") from error
    state = convert_hf_state_dict(published)
    sizes = {n: getattr(config, n) for n in ("vocab_size", "n_positions", "n_embd", "n_head", "n_inner")}
    for name, shape in plan(config.n_layer, **sizes).items():
        if name not in state or tuple(state.pop(name).shape) != shape:
            raise ValueError(f"{name}: the config wants it as {shape}")
    if state:
        raise ValueError(f"n_layer: the config has no place for {next(iter(state))}")
    state = convert_hf_state_dict(published)
    model = GPT2Model(config).eval()
    for name, p in model.named_parameters():
        p.data[...] = state[name]
    return model
