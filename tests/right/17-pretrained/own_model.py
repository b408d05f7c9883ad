"""A model of its own with the contract's names; the keys are parsed by one pattern into a table of layers."""
import json
import math
import os
import re
from collections import defaultdict

import huggingface_hub
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import nn

from common import GPT2Config

KEY = re.compile(
    r"(?:transformer\.)?(?:(?P<outer>wte\.weight|wpe\.weight|ln_f\.weight|ln_f\.bias|lm_head\.weight)"
    r"|h\.(?P<layer>\d+)\.(?:(?P<mask>attn\.(?:masked_)?bias)"
    r"|(?P<norm>ln_[12]\.(?:weight|bias))"
    r"|(?P<linear>(?:attn\.c_attn|attn\.c_proj|mlp\.c_fc|mlp\.c_proj)\.(?P<kind>weight|bias))))"
)


def convert_hf_state_dict(state_dict):
    outer, layers = {}, defaultdict(dict)
    for key, tensor in state_dict.items():
        m = KEY.fullmatch(key)
        if m is None:
            raise ValueError(f"GPT-2 has no key {key!r}; limit yourself to the names of GPT2LMHeadModel")
        if m["mask"]:
            continue
        if m["outer"]:
            outer[m["outer"]] = tensor
        elif m["kind"] == "weight":
            layers[int(m["layer"])][m["linear"]] = torch.einsum("io->oi", tensor).contiguous()
        else:
            layers[int(m["layer"])][m["norm"] or m["linear"]] = tensor
    lost = [name for name in ("wte.weight", "wpe.weight", "ln_f.weight", "ln_f.bias") if name not in outer]
    count = max(layers, default=0) + 1
    for layer in range(count):
        for part in ("ln_1", "ln_2", "attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
            for kind in ("weight", "bias"):
                if f"{part}.{kind}" not in layers[layer]:
                    lost.append(f"h.{layer}.{part}.{kind}")
    if lost:
        raise ValueError(f"{len(lost)} keys are missing, 0 are allowed: {', '.join(lost)}")
    if not torch.equal(outer.get("lm_head.weight", outer["wte.weight"]), outer["wte.weight"]):
        raise ValueError("lm_head.weight has other numbers than wte.weight")
    outer["lm_head.weight"] = outer["wte.weight"]
    return outer | {f"h.{layer}.{name}": tensor for layer in range(count) for name, tensor in layers[layer].items()}


class Attention(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.n_head = config.n_head
        self.rate = config.attn_pdrop
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd)
        self.resid_dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.n_head, -1)).transpose(1, 2) for t in self.c_attn(x).chunk(3, dim=-1))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=self.rate if self.training else 0.0)
        return self.resid_dropout(self.c_proj(y.transpose(1, 2).flatten(2)))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, config.n_inner)
        self.c_proj = nn.Linear(config.n_inner, config.n_embd)
        self.dropout = nn.Dropout(config.resid_pdrop)

    def forward(self, x):
        x = self.c_fc(x)
        x = 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
        return self.dropout(self.c_proj(x))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.attn = Attention(config)
        self.ln_2 = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.mlp = MLP(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT2Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.wte = nn.Embedding(config.vocab_size, config.n_embd)
        self.wpe = nn.Embedding(config.n_positions, config.n_embd)
        self.drop = nn.Dropout(config.embd_pdrop)
        self.h = nn.ModuleList([Block(config) for _ in range(config.n_layer)])
        self.ln_f = nn.LayerNorm(config.n_embd, eps=config.layer_norm_epsilon)
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.lm_head.weight = self.wte.weight

    def forward(self, input_ids):
        length = input_ids.shape[1]
        if length > self.config.n_positions:
            raise ValueError(f"{length} tokens exceed n_positions {self.config.n_positions}")
        x = self.drop(self.wte(input_ids) + self.wpe(torch.arange(length, device=input_ids.device)))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))


def from_pretrained(name_or_path):
    folder = os.fspath(name_or_path)
    if not os.path.isdir(folder):
        try:
            folder = huggingface_hub.snapshot_download(folder, allow_patterns=["config.json", "model.safetensors", "pytorch_model.bin"])
        except Exception as error:
            raise ValueError(f"cannot find {folder!r}, neither as a folder nor on the hub: {error}") from error
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise ValueError(f"{folder} lacks config.json")
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        raw = json.load(file)
    names = set(GPT2Config.__dataclass_fields__)
    model = GPT2Model(GPT2Config(**{k: v for k, v in raw.items() if k in names}))
    path = os.path.join(folder, "model.safetensors")
    if os.path.isfile(path):
        with safe_open(path, framework="pt", device="cpu") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}
    elif os.path.isfile(os.path.join(folder, "pytorch_model.bin")):
        tensors = torch.load(os.path.join(folder, "pytorch_model.bin"), map_location="cpu", weights_only=True)
    else:
        raise ValueError(f"{folder} lacks model.safetensors (or pytorch_model.bin)")
    try:
        model.load_state_dict(convert_hf_state_dict(tensors), strict=True)
    except RuntimeError as error:
        raise ValueError(str(error)) from None
    return model.train(False)
