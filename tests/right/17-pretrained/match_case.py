import json
from dataclasses import fields
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from common import GPT2Config, problem

GPT2Model = problem(10).GPT2Model

class CheckpointError(ValueError): ...

def convert_hf_state_dict(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    out: dict[str, Tensor] = {}
    head = None
    for key, value in state_dict.items():
        match key.removeprefix("transformer.").split("."):
            case ["wte" | "wpe" as n, "weight"]: _axes(key, value, 2); out[f"{n}.weight"] = value
            case ["ln_f", "weight" | "bias" as p]: _axes(key, value, 1); out[f"ln_f.{p}"] = value
            case ["h", i, "ln_1" | "ln_2" as n, "weight" | "bias" as p] if i.isdecimal(): _axes(key, value, 1); out[f"h.{i}.{n}.{p}"] = value
            case ["h", i, "attn", "bias" | "masked_bias"] if i.isdecimal(): pass
            case ["h", i, "attn", "c_attn" | "c_proj" as n, "bias"] | ["h", i, "mlp", "c_fc" | "c_proj" as n, "bias"]:
                _axes(key, value, 1); out[key.removeprefix("transformer.")] = value
            case ["h", i, "attn", "c_attn" | "c_proj" as n, "weight"] | ["h", i, "mlp", "c_fc" | "c_proj" as n, "weight"]:
                _axes(key, value, 2); out[key.removeprefix("transformer.")] = value.swapaxes(0, 1).contiguous()
            case ["lm_head", "weight"]: head = value
            case _: raise CheckpointError(f"{key!r} does not belong to GPT-2")
    n = max((int(k.split(".")[1]) for k in out if k.startswith("h.")), default=0) + 1
    order = [*(f"{k}.weight" for k in ("wte", "wpe"))]
    order += [f"h.{i}.{m}.{p}" for i in range(n) for m in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj") for p in ("weight", "bias")]
    order += ["ln_f.weight", "ln_f.bias"]
    absent = [k for k in order if k not in out]
    if absent: raise CheckpointError("absent: " + ", ".join(absent))
    C = out["wte.weight"].shape[1]
    for k in order:
        rows = out[k].shape[0]; rest = tuple(out[k].shape[1:])
        if k in ("wte.weight", "wpe.weight"): ok = rest == (C,)
        elif ".c_attn." in k: ok = rows == 3 * C and rest in ((), (C,))
        elif ".c_fc." in k: ok = rows == out[k.rsplit(".", 1)[0] + ".bias"].shape[0] and rest in ((), (C,))
        elif "mlp.c_proj.weight" in k: ok = (rows, *rest) == (C, out[k.replace("c_proj.weight", "c_fc.bias")].shape[0])
        else: ok = rows == C and rest in ((), (C,))
        if not ok: raise CheckpointError(f"{k}: shape {tuple(out[k].shape)} does not go with n_embd {C}")
    if head is not None and (head.shape != out["wte.weight"].shape or not bool(head.eq(out["wte.weight"]).all())): raise CheckpointError("lm_head.weight: not tied")
    return {k: out[k] for k in order} | {"lm_head.weight": out["wte.weight"]}

def _axes(key, value, n):
    if value.dim() != n: raise CheckpointError(f"{key} needs {n} axes, has {value.dim()}")

def from_pretrained(name_or_path):
    root = Path(name_or_path).expanduser()
    cfg, wts = root / "config.json", root / "model.safetensors"
    if not (cfg.is_file() or wts.is_file() or root.is_dir()):
        import huggingface_hub.file_download as fd
        for offline in (True, False):
            try:
                cfg, wts = (Path(fd.hf_hub_download(str(name_or_path), f, local_files_only=offline)) for f in ("config.json", "model.safetensors")); break
            except Exception as e: cause = e
        else: raise CheckpointError(f"{name_or_path}: {cause}. Get config.json and model.safetensors by hand, put both into one folder, pass the folder.")
    for f in (cfg, wts):
        if not f.is_file(): raise CheckpointError(f"{f.name} missing in {f.parent}")
    try: raw = json.loads(cfg.read_text(encoding="utf-8"))
    except ValueError as e: raise CheckpointError(f"{cfg}: {e}") from e
    if not isinstance(raw, dict): raise CheckpointError(f"{cfg}: a JSON object is wanted")
    for k, v in dict(activation_function="gelu_new", model_type="gpt2", scale_attn_by_inverse_layer_idx=False, tie_word_embeddings=True).items():
        if k in raw and raw[k] != v: raise CheckpointError(f"{cfg}: {k} has to be {v!r}, not {raw[k]!r}")
    kw = {}
    for f in fields(GPT2Config):
        if f.name == "n_inner" and raw.get("n_inner") is None: continue
        if f.name not in raw: raise CheckpointError(f"{cfg}: {f.name} is not given")
        v = raw[f.name]
        num = isinstance(v, int) if "n_" == f.name[:2] or f.name == "vocab_size" else isinstance(v, (int, float))
        if not num or isinstance(v, bool): raise CheckpointError(f"{cfg}: {f.name} = {v!r} has the wrong type")
        kw[f.name] = v
    config = GPT2Config(**kw)
    try: tensors = load_file(wts)
    except Exception as e: raise CheckpointError(f"{wts} is not a complete safetensors file ({e})") from e
    state = convert_hf_state_dict(tensors)
    with torch.device("cpu"): model = GPT2Model(config)
    want = model.state_dict()
    for k in {**want, **state}:
        a, b = want.get(k), state.get(k)
        if a is None or b is None or a.shape != b.shape: raise CheckpointError(f"{k}: config {None if a is None else tuple(a.shape)} (see n_layer), file {None if b is None else tuple(b.shape)}")
    model.load_state_dict({k: v.float() for k, v in state.items()})
    model.eval()
    for p in model.parameters(): p.grad = None
    return model
