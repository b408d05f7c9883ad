"""What a training run was asked for: written into its checkpoints, and read again by --resume."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from common.config import GPT2Config
from common.errors import UsageError

PRESETS = {
    "story": GPT2Config(n_positions=128, n_embd=192, n_layer=4, n_head=6),
    "small": GPT2Config.gpt2_small(),
    "medium": GPT2Config.gpt2_medium(),
    "large": GPT2Config.gpt2_large(),
    "xl": GPT2Config.gpt2_xl(),
}


@dataclass(frozen=True)
class Settings:
    """How to train. Steps are updates; rates are per update.

    Args:
        stride: tokens between the starts of two training windows; 0 means a quarter of the context.
        eval_every: steps between two looks at both losses, each with a sample; 0 means 20, and the losses
            alone more often where the run is short. eval_batches: at most so many for each loss.
        sample_temperature, sample_top_k: how samples are drawn; 0 is greedy, and all tokens.
        accumulate: batches whose gradients make one update.
        schedule: "cosine", with warm-up, or "constant". init: "gpt2", or "torch" for PyTorch's own.
        untied: the output layer has weights of its own, as in some other courses.
        fast: compute through fused kernels, on the same parameters.
        low_memory: update each parameter as soon as its gradient is there, and free the gradient.
    """

    text: str = "the-tide-ledger"
    train_fraction: float = 0.9
    context: int = 128
    stride: int = 0
    batch_size: int = 4
    accumulate: int = 1
    epochs: int = 10
    lr: float = 1e-3
    min_lr: float = 1e-4
    warmup: int = 20
    weight_decay: float = 0.1
    beta2: float = 0.95
    adam_eps: float = 1e-8
    grad_clip: float = 1.0
    schedule: str = "cosine"
    init: str = "gpt2"
    untied: bool = False
    eval_every: int = 0
    eval_batches: int = 8
    prompt: str = "Every effort moves you"
    sample_tokens: int = 40
    sample_temperature: float = 0.8
    sample_top_k: int = 40
    seed: int = 42
    mine: bool = False
    fast: bool = False
    low_memory: bool = False
    compile: bool = False
    source: str = ""  # pretrained weights to start from

    def __post_init__(self) -> None:
        for name in ("context", "batch_size", "accumulate", "epochs", "eval_batches"):
            if getattr(self, name) < 1:
                raise UsageError(f"{_flag(name)} must be at least 1, not {getattr(self, name)}")
        for name in (
            "stride", "warmup", "eval_every", "sample_tokens", "sample_temperature", "sample_top_k",
            "weight_decay", "min_lr", "grad_clip",
        ):  # fmt: skip
            if getattr(self, name) < 0:
                raise UsageError(f"{_flag(name)} must not be negative, not {getattr(self, name)}")
        if not 0 < self.train_fraction < 1:
            raise UsageError(f"--train-fraction must be between 0 and 1, not {self.train_fraction}")
        if not self.lr > 0:
            raise UsageError(f"--lr must be above 0, not {self.lr}")
        if self.low_memory and (self.grad_clip or self.accumulate > 1):
            raise UsageError(
                "--low-memory never has all gradients at once, so it can neither clip them nor add up those of "
                "several batches: it needs --grad-clip 0 and --accumulate 1"
            )

    @property
    def windows_stride(self) -> int:
        return self.stride or max(self.context // 4, 1)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Settings:
        """Settings of an older version may lack or have fields; known ones count."""
        known = {f.name for f in fields(cls)}
        return replace(cls(), **{name: value for name, value in data.items() if name in known})


def config_to_json(config: GPT2Config, *, untied: bool) -> str:
    """config.json as transformers writes it for a GPT-2."""
    data = asdict(config) | {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "tie_word_embeddings": not untied,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
    }
    return json.dumps(data, indent=2, sort_keys=True) + "\n"


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
