"""A frozen dataclass whose n_inner is filled in __new__-like fashion and whose checks are methods."""

from __future__ import annotations

import dataclasses
import operator


@dataclasses.dataclass(frozen=True)
class GPT2Config:
    vocab_size: int = 50_257
    n_positions: int = 1_024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int = None
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 0.00001
    initializer_range: float = 0.02

    def __post_init__(self):
        self._sizes("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")
        if self.n_inner is None:
            self.__dict__["n_inner"] = 4 * self.n_embd
        self._sizes("n_inner")
        if operator.mod(self.n_embd, self.n_head) > 0:
            raise ValueError(f"cannot split n_embd = {self.n_embd} over n_head = {self.n_head}")
        for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop"):
            if not 0.0 <= self.__dict__[name] < 1.0:
                raise ValueError(f"bad {name}: {self.__dict__[name]}")
        for name in ("layer_norm_epsilon", "initializer_range"):
            if not self.__dict__[name] > 0.0:
                raise ValueError(f"bad {name}: {self.__dict__[name]}")

    def _sizes(self, *names):
        for name in names:
            value = self.__dict__[name]
            if type(value) is not int:
                raise TypeError(f"bad {name}: {value!r}")
            if value < 1:
                raise ValueError(f"bad {name}: {value}")

    head_dim = property(lambda self: self.n_embd // self.n_head)

    def num_parameters(self):
        C = self.n_embd
        return (
            (self.vocab_size + self.n_positions) * C
            + self.n_layer * (4 * C * C + 2 * C * self.n_inner + 9 * C + self.n_inner)
            + 2 * C
        )

    gpt2_small = classmethod(lambda cls: cls())
    gpt2_medium = classmethod(lambda cls: cls(n_embd=1024, n_layer=24, n_head=16))
    gpt2_large = classmethod(lambda cls: cls(n_embd=1280, n_layer=36, n_head=20))
    gpt2_xl = classmethod(lambda cls: cls(n_embd=1600, n_layer=48, n_head=25))
