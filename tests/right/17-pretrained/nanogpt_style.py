"""Copies tensor by tensor into a model that is built first; hf_hub_download imported at the top; os.path."""

import json
import os

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

from common import GPT2Config, problem

GPT2Model = problem(10).GPT2Model

TRANSPOSED = ["attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"]
PER_LAYER = [f"{n}.{k}" for n in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj") for k in ("weight", "bias")]


def bad(message):
    raise ValueError(message)


def convert_hf_state_dict(state_dict):
    sd = {}
    for k, v in state_dict.items():
        k = k[12:] if k.startswith("transformer.") else k
        if k.startswith("h.") and (k.endswith(".attn.bias") or k.endswith(".attn.masked_bias")):
            continue
        sd[k] = v
    n = 0
    for k in sd:
        parts = k.split(".")
        if parts[0] == "h" and len(parts) > 2 and parts[1].isdigit():
            n = max(n, int(parts[1]) + 1)
    n = max(n, 1)
    wanted = ["wte.weight", "wpe.weight"] + [f"h.{i}.{k}" for i in range(n) for k in PER_LAYER] + ["ln_f.weight", "ln_f.bias"]
    for k in sd:
        if k not in wanted and k != "lm_head.weight":
            bad(f"unexpected key {k}")
    for k in wanted:
        if k not in sd:
            bad(f"missing key {k}")
    if sd["wte.weight"].dim() != 2:
        bad(f"wte.weight has shape {tuple(sd['wte.weight'].shape)}, expected two axes")
    V, C = sd["wte.weight"].shape
    out = {}
    for k in wanted:
        t = sd[k]
        dims = 1 if k.endswith("bias") or ".ln_" in k or k.startswith("ln_f") else 2
        if t.dim() != dims:
            bad(f"{k}: {t.dim()} axes, expected {dims}")
        if any(k.endswith(w) for w in TRANSPOSED):
            t = torch.transpose(t, 0, 1).clone(memory_format=torch.contiguous_format)
        out[k] = t
    for k, t in out.items():
        s = tuple(t.shape)
        F = out[k[: k.index("mlp")] + "mlp.c_fc.weight"].shape[0] if "mlp" in k else None
        want = {
            "wte.weight": (V, C), "wpe.weight": (s[0], C),
            "attn.c_attn.weight": (3 * C, C), "attn.c_attn.bias": (3 * C,), "attn.c_proj.weight": (C, C),
            "mlp.c_fc.weight": (F, C), "mlp.c_fc.bias": (F,), "mlp.c_proj.weight": (C, F),
        }.get(".".join(k.split(".")[2:]) if k.startswith("h.") else k, (C,))
        if s != want:
            bad(f"{k}: shape {s} but expected {want}")
    if "lm_head.weight" in sd:
        h = sd["lm_head.weight"]
        if h.shape != (V, C) or not bool((h == sd["wte.weight"]).all()):
            bad("lm_head.weight is not wte.weight")
    out["lm_head.weight"] = out["wte.weight"].clone()
    return out


def from_pretrained(name_or_path):
    if os.path.isdir(name_or_path):
        paths = [os.path.join(name_or_path, f) for f in ("config.json", "model.safetensors")]
        for p in paths:
            if not os.path.exists(p):
                bad(f"{p} does not exist; save the model with save_pretrained(..., safe_serialization=True)")
    else:
        paths = []
        for f in ("config.json", "model.safetensors"):
            for local in (True, False):
                try:
                    paths.append(hf_hub_download(repo_id=str(name_or_path), filename=f, local_files_only=local))
                    break
                except Exception as e:
                    last = e
            else:
                bad(f"could not fetch {name_or_path}: {last}. Put config.json and model.safetensors into a folder and pass its path")
    with open(paths[0], "rb") as f:
        try:
            c = json.load(f)
            if not isinstance(c, dict):
                raise TypeError("no object")
        except Exception as e:
            raise ValueError(f"config.json cannot be read: {e}")
    if c.get("activation_function", "gelu_new") != "gelu_new":
        bad("only gelu_new activation is supported")
    if c.get("model_type", "gpt2") != "gpt2":
        bad("model_type must be gpt2")
    if c.get("scale_attn_by_inverse_layer_idx"):
        bad("scale_attn_by_inverse_layer_idx is not supported")
    if c.get("tie_word_embeddings") is False:
        bad("tie_word_embeddings must be true")
    kw = {}
    for k in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
        if not isinstance(c.get(k), int) or isinstance(c.get(k), bool):
            bad(f"config.json: {k} should be an integer")
        kw[k] = c[k]
    if c.get("n_inner") is not None:
        if not isinstance(c["n_inner"], int):
            bad("config.json: n_inner should be an integer")
        kw["n_inner"] = c["n_inner"]
    for k in ("embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range"):
        if k in c:
            if not isinstance(c[k], (int, float)):
                bad(f"config.json: {k} should be a number")
            kw[k] = c[k]
    config = GPT2Config(**kw)
    model = GPT2Model(config)
    try:
        sd = convert_hf_state_dict(load_file(paths[1], device="cpu"))
    except ValueError:
        raise
    except Exception as e:
        raise ValueError(f"model.safetensors is broken: {e}") from e
    mine = model.state_dict()
    for k in sorted(set(mine) ^ set(sd)):
        bad(f"{k} is in only one of model and file; is n_layer right?")
    with torch.no_grad():
        for k, t in sd.items():
            if mine[k].shape != t.shape:
                bad(f"{k}: the config says {tuple(mine[k].shape)}, the file has {tuple(t.shape)}")
            mine[k].copy_(t)
    model.eval()
    return model
