"""The config: one frozen description of a model that every part is built from."""

from __future__ import annotations

from dataclasses import dataclass


class GPT2Config:
    """The shape and rates of a GPT-2. The defaults are GPT-2 small.

    Field names are those of the published checkpoints' config.json.

    Raises:
        TypeError: a size is not an int.
        ValueError: a size below 1, n_embd not a multiple of n_head, a dropout rate outside [0, 1),
            or a layer_norm_epsilon or initializer_range that is not above 0.

    Source: "Language Models are Unsupervised Multitask Learners", section 2.3 and table 2.
    """

    # TODO(09): about 35 lines. Replace this constructor by the eleven fields of a frozen dataclass, with their
    # defaults, and a __post_init__ that fills in n_inner and refuses what makes no model

    def __init__(self, **fields: int | float | None) -> None:
        raise NotImplementedError("problem 09: GPT2Config.__init__")

    @property
    def head_dim(self) -> int:
        """D, the channels of one head."""
        # TODO(09): 1 line
        raise NotImplementedError("problem 09: GPT2Config.head_dim")

    def num_parameters(self) -> int:
        """Count the parameters of a GPT2Model of this shape; the tied head counts once."""
        # TODO(09): about 6 lines. Embeddings, n_layer blocks, the final norm
        raise NotImplementedError("problem 09: GPT2Config.num_parameters")

    @classmethod
    def gpt2_small(cls) -> GPT2Config:
        """124,439,808 parameters."""
        # TODO(09): 1 line
        raise NotImplementedError("problem 09: GPT2Config.gpt2_small")

    @classmethod
    def gpt2_medium(cls) -> GPT2Config:
        """354,823,168 parameters."""
        # TODO(09): 1 line
        raise NotImplementedError("problem 09: GPT2Config.gpt2_medium")

    @classmethod
    def gpt2_large(cls) -> GPT2Config:
        """774,030,080 parameters."""
        # TODO(09): 1 line
        raise NotImplementedError("problem 09: GPT2Config.gpt2_large")

    @classmethod
    def gpt2_xl(cls) -> GPT2Config:
        """1,557,611,200 parameters."""
        # TODO(09): 1 line
        raise NotImplementedError("problem 09: GPT2Config.gpt2_xl")
