"""A module tree of its own with the contract's names; assign=True, tied again; one wide except clause."""

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from common import GPT2Config


class _Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c_attn, self.c_proj, self.n, self.p, self.r = nn.Linear(c.n_embd, 3 * c.n_embd), nn.Linear(c.n_embd, c.n_embd), c.n_head, c.attn_pdrop, c.resid_pdrop

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.n, -1)).transpose(1, 2) for t in self.c_attn(x).chunk(3, -1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.p if self.training else 0.0)
        return F.dropout(self.c_proj(y.transpose(1, 2).flatten(2)), self.r, self.training)


class _Feed(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c_fc, self.c_proj, self.act, self.drop = nn.Linear(c.n_embd, c.n_inner), nn.Linear(c.n_inner, c.n_embd), nn.GELU("tanh"), nn.Dropout(c.resid_pdrop)

    def forward(self, x):
        return self.drop(self.c_proj(self.act(self.c_fc(x))))


class _Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(c.n_embd, c.layer_norm_epsilon), _Attention(c)
        self.ln_2, self.mlp = nn.LayerNorm(c.n_embd, c.layer_norm_epsilon), _Feed(c)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(c.vocab_size, c.n_embd), nn.Embedding(c.n_positions, c.n_embd)
        self.drop = nn.Dropout(c.embd_pdrop)
        self.h = nn.ModuleList([_Block(c) for _ in range(c.n_layer)])
        self.ln_f = nn.LayerNorm(c.n_embd, c.layer_norm_epsilon)
        self.lm_head = nn.Linear(c.n_embd, c.vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, idx):
        x = self.drop(self.wte(idx) + self.wpe.weight[: idx.size(1)])
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def convert_hf_state_dict(state_dict):
    names = {k: k.split("transformer.", 1)[-1] for k in state_dict}
    found = {names[k]: v for k, v in state_dict.items() if not (names[k].startswith("h.") and names[k].split(".")[2:] in (["attn", "bias"], ["attn", "masked_bias"]))}
    n_layer = max([int(k.split(".")[1]) for k in found if k.startswith("h.") and k.split(".")[1].isnumeric()] or [0]) + 1
    if "wte.weight" not in found or found["wte.weight"].ndim != 2:
        raise ValueError("wte.weight: missing, or no matrix")
    V, C = found["wte.weight"].shape
    P = found["wpe.weight"].shape[0] if "wpe.weight" in found else 1
    fc = found.get("h.0.mlp.c_fc.weight", torch.zeros(1, 1))
    inner = fc.shape[1] if fc.ndim == 2 else 1
    config = GPT2Config(vocab_size=V, n_positions=P, n_embd=C, n_layer=n_layer, n_head=1, n_inner=inner)
    shapes = {k: tuple(v.shape) for k, v in GPT2Model(config).state_dict().items()}
    found.setdefault("lm_head.weight", found["wte.weight"])
    for wrong in sorted(found.keys() ^ shapes.keys()):
        raise ValueError(f"{wrong} is {'missing' if wrong in shapes else 'unknown'}")
    done = {}
    for k, shape in shapes.items():
        t = found[k]
        conv = t.ndim == 2 and k.startswith("h.")
        done[k] = t.mT.clone(memory_format=torch.contiguous_format) if conv else t.clone()
        if tuple(done[k].shape) != shape:
            raise ValueError(f"{k} should have shape {shape} after conversion, not {tuple(done[k].shape)}")
    if (done["lm_head.weight"] != done["wte.weight"]).any():
        raise ValueError("lm_head.weight must be tied")
    return done


def from_pretrained(name_or_path):
    folder = Path(name_or_path)
    config_path, weights_path = folder / "config.json", folder / "model.safetensors"
    if not folder.is_dir():
        import huggingface_hub as hub

        try:
            try:
                config_path, weights_path = (hub.hf_hub_download(name_or_path, f, local_files_only=True) for f in ("config.json", "model.safetensors"))
            except Exception:
                config_path, weights_path = (hub.hf_hub_download(name_or_path, f) for f in ("config.json", "model.safetensors"))
        except Exception as e:
            raise ValueError(f"{name_or_path}: download failed ({e}), give a folder with config.json and model.safetensors") from e
    reading = "config.json"
    try:
        fields = json.loads(Path(config_path).read_text("utf-8"))
        for key, value in (("activation_function", "gelu_new"), ("model_type", "gpt2"), ("tie_word_embeddings", True), ("scale_attn_by_inverse_layer_idx", False)):
            if fields.get(key, value) != value:
                raise ValueError(f"{key} must be {value}")
        chosen = {}
        for key, default in GPT2Config.__dataclass_fields__.items():
            if key == "n_inner" and fields.get(key) is None:
                continue
            if key not in fields:
                raise ValueError(f"{key} is missing")
            if (key.startswith("n_") or key == "vocab_size") and not type(fields[key]) is int:
                raise ValueError(f"{key} must be an int")
            if not isinstance(fields[key], (int, float)):
                raise ValueError(f"{key} must be a number")
            chosen[key] = fields[key]
        config = GPT2Config(**chosen)
        reading = "model.safetensors"
        with safe_open(weights_path, framework="pt") as f:
            raw = {k: f.get_tensor(k).float() for k in f.keys()}
        state = convert_hf_state_dict(raw)
        model = GPT2Model(config)
        shown = {k: tuple(v.shape) for k, v in model.state_dict().items()}
        for k in shown.keys() | state.keys():
            if k not in shown or k not in state:
                raise ValueError(f"{k}: n_layer does not fit")
            if shown[k] != tuple(state[k].shape):
                raise ValueError(f"{k}: {shown[k]} by config.json (vocab_size, n_positions, n_embd, n_inner), {tuple(state[k].shape)} in the file")
    except Exception as e:
        raise ValueError(f"{reading} in {name_or_path} is missing or wrong: {e}") from e
    model.load_state_dict(state, assign=True)
    model.lm_head.weight = model.wte.weight
    return model.eval().requires_grad_(True)
