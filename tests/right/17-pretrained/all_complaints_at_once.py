import json
import pathlib

import torch
from safetensors import SafetensorError, safe_open

from common import GPT2Config, problem

M = problem(10).GPT2Model

class Checkpoint:
    """collects all complaints"""
    def __init__(self, sd):
        self.sd = {(k[len("transformer."):] if k.startswith("transformer.") else k): v for k, v in sd.items()}
        self.bad = []
    def layers(self):
        return sorted({int(k.split(".")[1]) for k in self.sd if k.startswith("h.")})
    def want(self):
        ls = self.layers() or [0]
        for n in ("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias"):
            yield n
        for i in range(ls[-1] + 1):
            for m in ("ln_1", "ln_2", "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
                yield f"h.{i}.{m}.weight"
                yield f"h.{i}.{m}.bias"
    def shape_of(self, n, V, C, P, F):
        if n == "wte.weight": return (V, C)
        if n == "wpe.weight": return (P, C)
        tail = n.rsplit(".", 2)[-2:]
        base = {"c_attn": (C, 3 * C), "c_fc": (C, F)}.get(tail[0])
        if tail[0] == "c_proj": base = (F, C) if ".mlp." in n else (C, C)
        if base is None: return (C,)
        return base if tail[1] == "weight" else (base[1],)
    def convert(self):
        want = list(self.want())
        self.bad += [f"missing {n}" for n in want if n not in self.sd]
        for n in self.sd:
            if n in want or n == "lm_head.weight": continue
            if n.endswith((".attn.bias", ".attn.masked_bias")) and n.count(".") == 3: continue
            self.bad.append("unknown " + n)
        self.stop()
        for n in ("wte.weight", "wpe.weight", "h.0.mlp.c_fc.weight"):
            if self.sd[n].ndim != 2: self.bad.append(f"{n} should have 2 axes")
        self.stop()
        V, C = self.sd["wte.weight"].shape; P = len(self.sd["wpe.weight"]); F = self.sd["h.0.mlp.c_fc.weight"].shape[-1]
        for n in want:
            s = self.shape_of(n, V, C, P, F)
            if tuple(self.sd[n].shape) != s: self.bad.append(f"{n} has shape {tuple(self.sd[n].shape)}, wanted {s}")
        if "lm_head.weight" in self.sd and not torch.equal(self.sd["lm_head.weight"], self.sd["wte.weight"]): self.bad.append("lm_head.weight untied")
        self.stop()
        r = {}
        for n in want:
            t = self.sd[n]
            if t.ndim == 2 and not n.startswith("w"):
                e = torch.empty(t.shape[1], t.shape[0], dtype=t.dtype); e.copy_(t.movedim(0, 1)); t = e
            r[n] = t
        r["lm_head.weight"] = r["wte.weight"].detach().clone()
        return r
    def stop(self):
        if self.bad: raise ValueError("cannot use this checkpoint:\n" + "\n".join(self.bad))

def convert_hf_state_dict(state_dict):
    return Checkpoint(state_dict).convert()

def from_pretrained(name_or_path):
    d = pathlib.Path(name_or_path)
    if d.is_dir():
        files = [d / "config.json", d / "model.safetensors"]
        gone = [f.name for f in files if not f.exists()]
        if gone: raise ValueError(f"in {d} there is no {' and no '.join(gone)}; files there: {[x.name for x in d.iterdir()]}")
    else:
        try:
            from huggingface_hub import hf_hub_download as get
            from huggingface_hub.errors import LocalEntryNotFoundError
            files = []
            for n in ("config.json", "model.safetensors"):
                try: files.append(get(str(name_or_path), n, local_files_only=True))
                except LocalEntryNotFoundError: files.append(get(str(name_or_path), n))
        except (OSError, ValueError, RuntimeError) as e:
            raise ValueError(f"{name_or_path}: neither a folder nor downloadable; save config.json and model.safetensors in a folder. ({e})")
    try:
        c = json.loads(pathlib.Path(files[0]).read_bytes().decode())
    except ValueError as e:
        raise ValueError("config.json is not JSON") from e
    if type(c) is not dict: raise ValueError("config.json is not an object")
    bad = []
    if c.get("model_type", "gpt2") != "gpt2": bad.append("model_type")
    if c.get("activation_function", "gelu_new") != "gelu_new": bad.append("activation_function must be gelu_new")
    if c.get("scale_attn_by_inverse_layer_idx", False): bad.append("scale_attn_by_inverse_layer_idx")
    if not c.get("tie_word_embeddings", True): bad.append("tie_word_embeddings")
    for n in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head"):
        if type(c.get(n)) is not int: bad.append(f"{n} is {c.get(n)!r}")
    if not isinstance(c.get("n_inner"), (int, type(None))): bad.append("n_inner")
    for n in ("embd_pdrop", "attn_pdrop", "resid_pdrop", "layer_norm_epsilon", "initializer_range"):
        if n in c and type(c[n]) not in (int, float): bad.append(f"{n} is {c[n]!r}")
    if bad: raise ValueError("config.json: " + "; ".join(bad))
    cfg = GPT2Config(**{f: c[f] for f in GPT2Config.__dataclass_fields__ if f in c})
    try:
        with safe_open(str(files[1]), "pt") as f:
            sd = {k: f.get_tensor(k) for k in f.keys()}
    except (SafetensorError, OSError) as e:
        raise ValueError("model.safetensors is damaged: " + str(e))
    sd = convert_hf_state_dict(sd)
    m = M(cfg)
    try:
        m.load_state_dict(sd)
    except RuntimeError as e:
        raise ValueError(f"config.json and weights disagree: {e}") from None
    return m.eval()
