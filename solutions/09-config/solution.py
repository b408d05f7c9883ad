"""The config: one frozen description of a model that every part is built from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)  # lesson
class GPT2Config:
    """The shape and rates of a GPT-2. The defaults are GPT-2 small.

    Field names are those of the published checkpoints' config.json.

    Raises:
        TypeError: a size is not an int.
        ValueError: a size below 1, n_embd not a multiple of n_head, a dropout rate outside [0, 1),
            or a layer_norm_epsilon or initializer_range that is not above 0.

    Source: "Language Models are Unsupervised Multitask Learners", section 2.3 and table 2.
    """

    # lesson: about 35 lines. Replace this constructor by the eleven fields of a frozen dataclass, with their defaults, and a __post_init__ that fills in n_inner and refuses what makes no model
    # instead: def __init__(self, **fields: int | float | None) -> None:
    vocab_size: int = 50257  # 256 bytes + 50,000 merges + <|endoftext|>
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int | None = None  # None means 4 * n_embd
    embd_pdrop: float = 0.1
    attn_pdrop: float = 0.1
    resid_pdrop: float = 0.1
    layer_norm_epsilon: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self) -> None:
        if self.n_inner is None:
            object.__setattr__(self, "n_inner", 4 * self.n_embd)  # frozen forbids plain assignment
        for name in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"):
            size = getattr(self, name)
            if not isinstance(size, int) or isinstance(size, bool):
                raise TypeError(f"{name} must be an int, not {size!r}")
            if size < 1:
                raise ValueError(f"{name} must be at least 1, not {size}")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"n_embd ({self.n_embd}) must be a multiple of n_head ({self.n_head}): "
                "every head works in n_embd / n_head channels"
            )
        for name in ("embd_pdrop", "attn_pdrop", "resid_pdrop"):
            rate = getattr(self, name)
            if not 0 <= rate < 1:
                raise ValueError(f"{name} must be in [0, 1), not {rate}")
        for name in ("layer_norm_epsilon", "initializer_range"):
            value = getattr(self, name)
            if not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}")
    # end of lesson

    @property
    def head_dim(self) -> int:
        """D, the channels of one head."""
        # lesson: 1 line
        return self.n_embd // self.n_head

    def num_parameters(self) -> int:
        """Count the parameters of a GPT2Model of this shape; the tied head counts once."""
        # lesson: about 6 lines. Embeddings, n_layer blocks, the final norm
        C, inner = self.n_embd, self.n_inner
        assert inner is not None
        attention = (C * 3 * C + 3 * C) + (C * C + C)
        feed_forward = (C * inner + inner) + (inner * C + C)
        norms = 2 * (C + C)
        embeddings = (self.vocab_size + self.n_positions) * C
        return embeddings + self.n_layer * (attention + feed_forward + norms) + (C + C)

    @classmethod
    def gpt2_small(cls) -> GPT2Config:
        """124,439,808 parameters."""
        # lesson: 1 line
        return cls()

    @classmethod
    def gpt2_medium(cls) -> GPT2Config:
        """354,823,168 parameters."""
        # lesson: 1 line
        return cls(n_layer=24, n_embd=1024, n_head=16)

    @classmethod
    def gpt2_large(cls) -> GPT2Config:
        """774,030,080 parameters."""
        # lesson: 1 line
        return cls(n_layer=36, n_embd=1280, n_head=20)

    @classmethod
    def gpt2_xl(cls) -> GPT2Config:
        """1,557,611,200 parameters."""
        # lesson: 1 line
        return cls(n_layer=48, n_embd=1600, n_head=25)
