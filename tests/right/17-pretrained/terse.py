"""As short as it gets: a model made of the config is the list of names and shapes."""

import json
from pathlib import Path

from safetensors.torch import load

from common import problem

GPT2Config, GPT2Model = problem(10).GPT2Config, problem(10).GPT2Model
SIZES = "vocab_size n_positions n_embd n_layer n_head".split()
OTHERS = "embd_pdrop attn_pdrop resid_pdrop layer_norm_epsilon initializer_range".split()


def spec(V, P, C, L, F):
    block = {"ln_1": (C,), "attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C), "ln_2": (C,), "mlp.c_fc": (C, F), "mlp.c_proj": (F, C)}
    out = {"wte.weight": (V, C), "wpe.weight": (P, C), "ln_f.weight": (C,), "ln_f.bias": (C,)}
    for i in range(L):
        for name, shape in block.items():
            out[f"h.{i}.{name}.weight"], out[f"h.{i}.{name}.bias"] = shape, shape[-1:]
    return out


def convert_hf_state_dict(state_dict):
    found = {k.removeprefix("transformer."): v for k, v in state_dict.items()}
    dim = lambda k, i: found[k].shape[i] if k in found and found[k].ndim > i else -1  # noqa: E731
    layers = 1 + max((int(k.split(".")[1]) for k in found if k[:2] == "h."), default=0)
    want = spec(dim("wte.weight", 0), dim("wpe.weight", 0), dim("wte.weight", 1), layers, dim("h.0.mlp.c_fc.weight", 1))
    masks = {f"h.{i}.attn.{b}" for i in range(layers) for b in ("bias", "masked_bias")}
    out = {}
    for k in [*want, *(found.keys() - want.keys() - masks - {"lm_head.weight"})]:
        if k not in want or k not in found:
            raise ValueError(f"{k}: {'unknown' if k in found else 'missing'}")
        if found[k].shape != want[k]:
            raise ValueError(f"{k}: {tuple(found[k].shape)} should be {want[k]}")
        out[k] = found[k].permute(1, 0).contiguous() if ".c_" in k and found[k].ndim == 2 else found[k]
    out["lm_head.weight"] = out["wte.weight"]
    if not found.get("lm_head.weight", out["wte.weight"]).equal(out["wte.weight"]):
        raise ValueError("lm_head.weight is not tied to wte.weight")
    return out


def from_pretrained(name_or_path):
    def get(file):
        local = Path(name_or_path) / file
        if Path(name_or_path).is_dir():
            if not local.is_file():
                raise ValueError(f"{local} is missing")
            return local
        from huggingface_hub import hf_hub_download

        for only in (True, False):
            try:
                return Path(hf_hub_download(str(name_or_path), file, local_files_only=only))
            except Exception:
                pass
        raise ValueError(f"cannot get {name_or_path}: put config.json and model.safetensors into a folder")

    config_file, weights_file = get("config.json"), get("model.safetensors")
    try:
        c = json.loads(config_file.read_bytes())
        c.keys()
    except Exception:
        raise ValueError("config.json: corrupt")
    if c.get("model_type") != "gpt2" or c.get("activation_function") != "gelu_new" or not c.get("tie_word_embeddings", True) or c.get("scale_attn_by_inverse_layer_idx"):
        raise ValueError("config.json: model_type gpt2, activation_function gelu_new, tie_word_embeddings and no scale_attn_by_inverse_layer_idx are needed")
    c = {k: c.get(k) for k in SIZES + OTHERS} | ({"n_inner": c["n_inner"]} if c.get("n_inner") is not None else {})
    for k, v in c.items():
        if isinstance(v, bool) or not isinstance(v, (int, float) if k in OTHERS else int):
            raise ValueError(f"config.json: {k} is {v!r}")
    config = GPT2Config(**c)
    try:
        raw = load(weights_file.read_bytes())
    except Exception:
        raise ValueError("model.safetensors: corrupt")
    state = convert_hf_state_dict(raw)
    model = GPT2Model(config)
    for k, p in model.state_dict().items():
        if k not in state or p.shape != state[k].shape:
            raise ValueError(f"{k}: config.json and model.safetensors disagree")
    if len(state) != len(model.state_dict()):
        raise ValueError("n_layer: the file has more layers than config.json says")
    model.load_state_dict(state)
    return model.eval()
