"""Properties over a private mapping, made in a loop; the parameters are counted on torch's own layers, which hold no memory."""

from types import MappingProxyType

import torch
from torch import nn

_SIZES = {"vocab_size": 50257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None}
_RATES = dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), 0.1)
_ABOVE = {"layer_norm_epsilon": 1e-5, "initializer_range": 0.02}


class GPT2Config:
    def __init__(self, **given):
        values = {**_SIZES, **_RATES, **_ABOVE}
        for name in given:
            if name not in values:
                raise TypeError(f"there is no field {name}")
        values.update(given)
        for name in _SIZES:
            size = values[name]
            if name == "n_inner" and size is None:
                values[name] = size = 4 * values["n_embd"]
            match size:
                case bool():
                    raise TypeError(f"{name} is {size}, a bool")
                case int() if size >= 1:
                    pass
                case int():
                    raise ValueError(f"{name} is {size}, and has to be 1 or more")
                case _:
                    raise TypeError(f"{name} is {size!r}, and has to be an int")
        if values["n_embd"] % values["n_head"] != 0:
            raise ValueError(f"n_embd is {values['n_embd']}, which {values['n_head']} heads (n_head) do not divide")
        bad = [n for n in _RATES if not 0 <= values[n] < 1] + [n for n in _ABOVE if not values[n] > 0]
        if bad:
            raise ValueError(", ".join(f"{n} is {values[n]}, out of its range" for n in bad))
        self._values = MappingProxyType(values)

    def __eq__(self, other):
        if type(other) is not type(self):
            return NotImplemented
        return dict(self._values) == dict(other._values)

    def __hash__(self):
        return hash(tuple(self._values.values()))

    def __repr__(self):
        return f"GPT2Config({', '.join(f'{k}={v}' for k, v in self._values.items())})"

    @property
    def head_dim(self):
        width, rest = divmod(self.n_embd, self.n_head)
        return width

    def num_parameters(self):
        with torch.device("meta"):
            width, inner = self.n_embd, self.n_inner
            block = nn.ModuleList([
                nn.LayerNorm(width), nn.Linear(width, 3 * width), nn.Linear(width, width),
                nn.LayerNorm(width), nn.Linear(width, inner), nn.Linear(inner, width),
            ])
            once = nn.ModuleList([
                nn.Embedding(self.vocab_size, width), nn.Embedding(self.n_positions, width), nn.LayerNorm(width),
            ])
        one, rest = (sum(p.numel() for p in part.parameters()) for part in (block, once))
        return rest + self.n_layer * one

    @classmethod
    def gpt2_small(cls):
        return cls()

    @classmethod
    def gpt2_medium(cls):
        return cls(n_embd=1024, n_head=16, n_layer=24)

    @classmethod
    def gpt2_large(cls):
        return cls(n_embd=1280, n_head=20, n_layer=36)

    @classmethod
    def gpt2_xl(cls):
        return cls(n_embd=1600, n_head=25, n_layer=48)


for _name in (*_SIZES, *_RATES, *_ABOVE):
    setattr(GPT2Config, _name, property(lambda self, name=_name: self._values[name]))
