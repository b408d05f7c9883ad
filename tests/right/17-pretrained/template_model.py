"""Names of the model itself, in order; weights zipped; conv by isinstance of the module it goes to."""
import json
import os

import huggingface_hub
import safetensors.torch as st
import torch
from torch import nn

from common import problem

GPT2Model, Config = problem(10).GPT2Model, problem(10).GPT2Config
FILES = ("config.json", "model.safetensors")

def _strip(d):
    return {k.removeprefix("transformer."): v for k, v in d.items() if k.split(".")[-2:] not in (["attn", "bias"], ["attn", "masked_bias"])}

def _model_like(d):
    for key, axes in (("wte.weight", 2), ("wpe.weight", 2), ("h.0.mlp.c_fc.weight", 2)):
        if key not in d: raise ValueError("no " + key)
        if d[key].dim() != axes: raise ValueError(f"{key} must be a matrix")
    n = max(int(k.split(".")[1]) for k in d if k.startswith("h.")) + 1
    return GPT2Model(Config(vocab_size=d["wte.weight"].size(0), n_embd=d["wte.weight"].size(1), n_positions=d["wpe.weight"].size(0), n_inner=d["h.0.mlp.c_fc.weight"].size(1), n_layer=n, n_head=1))

def convert_hf_state_dict(state_dict):
    d = _strip(state_dict)
    model = _model_like(d)
    conv = {f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"}
    mine = model.state_dict()
    new = {}
    for k in mine:
        if k == "lm_head.weight": continue
        if k not in d: raise ValueError(f"the checkpoint lacks {k}")
        v = d.pop(k)
        want = tuple(mine[k].shape)
        if k in conv: want = want[::-1]
        if tuple(v.shape) != want: raise ValueError(f"{k}: {tuple(v.shape)} instead of {want}")
        new[k] = torch.clone(v.t(), memory_format=torch.contiguous_format) if k in conv else v.clone()
    h = d.pop("lm_head.weight", new["wte.weight"])
    if h.shape != new["wte.weight"].shape or not torch.allclose(h, new["wte.weight"]): raise ValueError("lm_head.weight and wte.weight differ")
    if d: raise ValueError("unexpected: " + ", ".join(d))
    new["lm_head.weight"] = new["wte.weight"]
    return new

def _json(path):
    with open(path, encoding="utf8") as f:
        try: got = json.load(f)
        except Exception as e: raise ValueError(f"{path}: {e}")
    if not isinstance(got, dict): raise ValueError(f"{path}: not a dict")
    return got

def from_pretrained(name_or_path):
    paths = [os.path.join(name_or_path, f) for f in FILES]
    if not os.path.exists(name_or_path):
        def fetch(f):
            try: return huggingface_hub.hf_hub_download(name_or_path, f, local_files_only=True)
            except Exception: return huggingface_hub.hf_hub_download(name_or_path, f)
        try: paths = list(map(fetch, FILES))
        except Exception as e: raise ValueError(f"cannot find {name_or_path} ({e!r}); needs a folder with {FILES}")
    for p in paths:
        if not os.path.isfile(p): raise ValueError(f"file not found: {p}")
    j = _json(paths[0])
    def need(ok, f):
        if not ok: raise ValueError(f"{paths[0]}: field {f}")
    need(j.get("activation_function") in (None, "gelu_new"), "activation_function")
    need(j.get("model_type", "gpt2") == "gpt2", "model_type")
    need(j.get("scale_attn_by_inverse_layer_idx") in (None, False), "scale_attn_by_inverse_layer_idx")
    need(j.get("tie_word_embeddings") in (None, True), "tie_word_embeddings")
    kw = {}
    for f in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
        need(isinstance(j.get(f), int), f); kw[f] = j[f]
    if j.get("n_inner"): need(isinstance(j["n_inner"], int), "n_inner"); kw["n_inner"] = j["n_inner"]
    for f in ("embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range"):
        need(f in j and isinstance(j[f], (float, int)), f); kw[f] = j[f]
    model = GPT2Model(Config(**kw))
    try: raw = st.load_file(paths[1])
    except Exception as e: raise ValueError(f"{paths[1]} unreadable: {e}")
    state = convert_hf_state_dict({k: v.to(torch.float32) for k, v in raw.items()})
    with torch.no_grad():
        names = dict(model.named_parameters())
        for k in list(state):
            if k == "lm_head.weight": continue
            if k not in names: raise ValueError(f"{k}: not in a model with n_layer {kw['n_layer']}")
            if names[k].shape != state[k].shape: raise ValueError(f"{k}: {tuple(state[k].shape)} in the file, {tuple(names[k].shape)} in the model of config.json: check n_positions, vocab_size, n_embd, n_inner")
            names.pop(k).set_(state[k])
        if names: raise ValueError(f"not in the file: {', '.join(names)}")
    model.train(mode=False)
    return model
