"""A keyword-only dataclass with slots, a helper function, a table of presets."""

from dataclasses import dataclass, fields

TABLE = {"small": (12, 768, 12), "medium": (24, 1024, 16), "large": (36, 1280, 20), "xl": (48, 1600, 25)}


def check_size(name, value):
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}: {value!r} should have been an integer")
    if value < 1:
        raise ValueError(f"{name}: {value} should have been positive")


@dataclass(frozen=True, kw_only=True)
class GPT2Config:
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

    def __post_init__(self):
        check_size("n_embd", self.n_embd)
        if self.n_inner is None:
            object.__setattr__(self, "n_inner", self.n_embd * 4)
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("embd_pdrop", "attn_pdrop", "resid_pdrop"):
                if value != value or value < 0 or value >= 1:
                    raise ValueError(f"{field.name}: {value} is no probability below 1")
            elif field.name in ("layer_norm_epsilon", "initializer_range"):
                if value != value or value <= 0:
                    raise ValueError(f"{field.name}: {value} must be > 0")
            else:
                check_size(field.name, value)
        if self.n_embd // self.n_head * self.n_head != self.n_embd:
            raise ValueError(f"n_head={self.n_head} must divide n_embd={self.n_embd}")

    @property
    def head_dim(self) -> int:
        return int(self.n_embd / self.n_head)

    @classmethod
    def _named(cls, name):
        n_layer, n_embd, n_head = TABLE[name]
        return cls(n_layer=n_layer, n_embd=n_embd, n_head=n_head)

    @classmethod
    def gpt2_small(cls):
        return cls._named("small")

    @classmethod
    def gpt2_medium(cls):
        return cls._named("medium")

    @classmethod
    def gpt2_large(cls):
        return cls._named("large")

    @classmethod
    def gpt2_xl(cls):
        return cls._named("xl")

    def num_parameters(self) -> int:
        C, I = self.n_embd, self.n_inner
        shapes = [(self.vocab_size, C), (self.n_positions, C), (C,), (C,)]
        for _ in range(self.n_layer):
            shapes += [(C,)] * 4 + [(C, 3 * C), (3 * C,), (C, C), (C,), (C, I), (I,), (I, C), (C,)]
        total = 0
        for shape in shapes:
            n = 1
            for size in shape:
                n *= size
            total += n
        return total
