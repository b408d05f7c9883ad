"""No dataclass: __slots__, __setattr__ that refuses, __eq__ and __hash__ by hand."""


class GPT2Config:
    FIELDS = dict(
        vocab_size=50257, n_positions=1024, n_embd=768, n_layer=12, n_head=12, n_inner=None,
        embd_pdrop=0.1, attn_pdrop=0.1, resid_pdrop=0.1, layer_norm_epsilon=1e-5, initializer_range=0.02,
    )
    __slots__ = tuple(FIELDS)

    def __init__(self, **given):
        unknown = set(given) - set(self.FIELDS)
        if unknown:
            raise TypeError(f"unknown fields {unknown}")
        values = {**self.FIELDS, **given}
        if values["n_inner"] is None:
            width = values["n_embd"]
            values["n_inner"] = 4 * width if type(width) is int else 1
        for name, value in values.items():
            object.__setattr__(self, name, value)
            if name.startswith("n_") or name == "vocab_size":
                if type(value) is not int:
                    raise TypeError(f"{name}={value!r} is not an int but a {type(value).__name__}")
                if value <= 0:
                    raise ValueError(f"{name}={value}: expected a positive number")
            elif name.endswith("pdrop"):
                if not (value >= 0 and value < 1):
                    raise ValueError(f"{name}={value}: expected 0 <= p < 1")
            elif not value > 0:
                raise ValueError(f"{name}={value}: expected a number above zero")
        if self.n_embd % self.n_head != 0:
            raise ValueError(f"n_embd={self.n_embd} is not divisible by n_head={self.n_head}")

    def __setattr__(self, name, value):
        raise AttributeError(f"GPT2Config is read-only: {name}")

    def _key(self):
        return tuple(getattr(self, f) for f in self.FIELDS)

    def __eq__(self, other):
        return isinstance(other, GPT2Config) and self._key() == other._key()

    def __hash__(self):
        return hash(self._key())

    @property
    def head_dim(self):
        return divmod(self.n_embd, self.n_head)[0]

    def num_parameters(self):
        linear = lambda i, o: i * o + o
        C = self.n_embd
        block = 4 * C + linear(C, 3 * C) + linear(C, C) + linear(C, self.n_inner) + linear(self.n_inner, C)
        return self.vocab_size * C + self.n_positions * C + self.n_layer * block + 2 * C

    @staticmethod
    def gpt2_small():
        return GPT2Config()

    @staticmethod
    def gpt2_medium():
        return GPT2Config(n_embd=1024, n_layer=24, n_head=16)

    @staticmethod
    def gpt2_large():
        return GPT2Config(n_embd=1280, n_layer=36, n_head=20)

    @staticmethod
    def gpt2_xl():
        return GPT2Config(n_embd=1600, n_layer=48, n_head=25)
