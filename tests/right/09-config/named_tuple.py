"""A named tuple: it cannot be assigned to and compares by its fields without further ado; __new__ checks."""

import math
from typing import NamedTuple


class _Fields(NamedTuple):
    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: "int | None" = None
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02


class GPT2Config(_Fields):
    __slots__ = ()

    def __new__(cls, *args, **kwargs):
        self = super().__new__(cls, *args, **kwargs)
        if self.n_inner is None and type(self.n_embd) is int:
            self = self._replace(n_inner=self.n_embd << 2)
        for name, value in self._asdict().items():
            if name.endswith("pdrop"):
                if math.isnan(value) or not (0 <= value and value < 1):
                    raise ValueError(f"{name} = {value}, which is not in [0, 1)")
            elif name in ("layer_norm_epsilon", "initializer_range"):
                if math.isnan(value) or value <= 0:
                    raise ValueError(f"{name} = {value}, which is not above 0")
            elif isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} = {value!r}, which is no int")
            elif value < 1:
                raise ValueError(f"{name} = {value}, which is below 1")
        if self.n_embd % self.n_head:
            raise ValueError(f"n_embd = {self.n_embd} is no multiple of n_head = {self.n_head}")
        return self

    @property
    def head_dim(self):
        return self.n_embd // self.n_head

    def num_parameters(self):
        c, inner = self.n_embd, self.n_inner
        linear = sum(i * o + o for i, o in [(c, 3 * c), (c, c), (c, inner), (inner, c)])
        return (self.vocab_size + self.n_positions) * c + self.n_layer * (linear + 4 * c) + 2 * c

    @classmethod
    def gpt2_small(cls):
        return cls()

    @classmethod
    def gpt2_medium(cls):
        return cls.gpt2_small()._replace(n_layer=24, n_embd=1024, n_head=16, n_inner=4096)

    @classmethod
    def gpt2_large(cls):
        return cls(n_layer=36, n_embd=1280, n_head=20)

    @classmethod
    def gpt2_xl(cls):
        return cls(n_layer=48, n_embd=1600, n_head=25)
