from dataclasses import dataclass


@dataclass(frozen=True)
class GPT2Config:
    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self):
        for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"):
            value = getattr(self, name)
            if name == "n_inner" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, got {value!r}")
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.n_embd % self.n_head != 0:
            raise ValueError(f"n_embd must be a multiple of n_head, got n_embd={self.n_embd} and n_head={self.n_head}")
        for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, got {value!r}")
            if not 0 <= value < 1:
                raise ValueError(f"{name} must be in [0, 1), got {value}")
        for name in ("layer_norm_epsilon", "initializer_range"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)):
                raise TypeError(f"{name} must be a number, got {value!r}")
            if not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        if self.n_inner is None:
            object.__setattr__(self, "n_inner", 4 * self.n_embd)

    @property
    def head_dim(self):
        return self.n_embd // self.n_head

    @classmethod
    def gpt2_small(cls):
        return cls(n_layer=12, n_embd=768, n_head=12)

    @classmethod
    def gpt2_medium(cls):
        return cls(n_layer=24, n_embd=1024, n_head=16)

    @classmethod
    def gpt2_large(cls):
        return cls(n_layer=36, n_embd=1280, n_head=20)

    @classmethod
    def gpt2_xl(cls):
        return cls(n_layer=48, n_embd=1600, n_head=25)

    def num_parameters(self):
        c, inner = self.n_embd, self.n_inner
        embeddings = self.vocab_size * c + self.n_positions * c
        attention = c * 3 * c + 3 * c + c * c + c
        mlp = c * inner + inner + inner * c + c
        norms = 2 * (c + c)
        return embeddings + self.n_layer * (attention + mlp + norms) + 2 * c
