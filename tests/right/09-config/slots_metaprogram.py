"""Slots, presets attached in a loop, all complaints checked by one table."""
from dataclasses import dataclass

_WHOLE = "vocab_size n_positions n_embd n_layer n_head n_inner".split()
_RATES = "embd_pdrop attn_pdrop resid_pdrop".split()
_ABOVE = "layer_norm_epsilon initializer_range".split()


@dataclass(frozen=True, slots=True)
class GPT2Config:
    vocab_size: int = 50_257
    n_positions: int = 1_024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: "int | None" = None
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 0.00001
    initializer_range: float = 0.02

    def __post_init__(self):
        # types first, for all fields, then ranges
        wholes = [n for n in _WHOLE if not (n == "n_inner" and self.n_inner is None)]
        for n in wholes:
            v = getattr(self, n)
            if isinstance(v, bool) or not isinstance(v, int):
                raise TypeError(f"{n}={v!r} is a {type(v).__name__}; only int (>= 1) will do")
        for n in _RATES + _ABOVE:
            v = getattr(self, n)
            if not isinstance(v, (float, int)):
                raise TypeError(f"{n}={v!r} is a {type(v).__name__}; only float will do")
        checks = [(n, lambda v: v >= 1, ">= 1") for n in wholes]
        checks += [(n, lambda v: 0.0 <= v < 1.0, "within [0, 1)") for n in _RATES]
        checks += [(n, lambda v: v > 0.0, "> 0") for n in _ABOVE]
        for n, good, limit in checks:
            v = getattr(self, n)
            if not good(v):
                raise ValueError(f"{n}={v!r} must be {limit}")
        if self.n_embd % self.n_head:
            raise ValueError(f"n_head={self.n_head} does not divide n_embd={self.n_embd}; {self.n_embd % self.n_head} channels are left over")
        if self.n_inner is None:
            object.__setattr__(self, "n_inner", self.n_embd * 4)

    @property
    def head_dim(self) -> int:
        return self.n_embd // self.n_head

    def num_parameters(self) -> int:
        C, F, L = self.n_embd, self.n_inner, self.n_layer
        return C * (self.vocab_size + self.n_positions + 2) + L * (4 * C * C + 2 * C * F + F + 9 * C)


def _attach():
    for name, layers, width, heads in (("small", 12, 768, 12), ("medium", 24, 1024, 16), ("large", 36, 1280, 20), ("xl", 48, 1600, 25)):
        def make(cls, _l=layers, _w=width, _h=heads):
            return cls(n_layer=_l, n_embd=_w, n_head=_h)
        setattr(GPT2Config, "gpt2_" + name, classmethod(make))


_attach()
