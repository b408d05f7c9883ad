"""From a text to batches. The order of windows follows from seed and epoch, so a run can be taken up anywhere."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from common.errors import CourseError
from common.text.texts import read_text
from common.text.tokenizer import gpt2_tokenizer
from common.train.parts import Parts
from common.train.settings import Settings

Batch = tuple[Tensor, Tensor]  # inputs and targets, each (B, T), int64


@dataclass(frozen=True)
class Data:
    """The windows of a text: training ones in an order by epoch, validation ones in theirs.

    Args:
        train, val: (N, 2, T), int64: inputs and targets of each window.
    """

    train: Tensor
    val: Tensor
    batch_size: int
    seed: int
    rank: int = 0
    ranks: int = 1

    @property
    def together(self) -> int:
        """Windows in one batch of all processes."""
        return min(self.batch_size * self.ranks, len(self.train) // self.ranks * self.ranks)

    @property
    def batches(self) -> int:
        """Batches in an epoch. What is left over waits for the next one, which has another order."""
        return max(len(self.train) // self.together, 1)

    def batch(self, number: int) -> Batch:
        """The batch with that number, counted from 0 over all epochs; this process's share of it."""
        epoch, place = divmod(number, self.batches)
        order = _order(len(self.train), 1_000_003 * self.seed + epoch)
        chosen = order[place * self.together : (place + 1) * self.together][self.rank :: self.ranks]
        return self.train[chosen, 0], self.train[chosen, 1]

    def looked_at(self, windows: Tensor, batches: int) -> list[Batch]:
        """The first batches of some windows, in their order: what an evaluation looks at."""
        return [(part[:, 0], part[:, 1]) for part in windows.split(self.batch_size)[:batches]]


@lru_cache(maxsize=2)  # this epoch's, and while one resumes the next one's
def _order(windows: int, seed: int) -> Tensor:
    return torch.randperm(windows, generator=torch.Generator().manual_seed(seed))


def load(settings: Settings, parts: Parts, *, rank: int = 0, ranks: int = 1) -> Data:
    """Read, split, tokenise and cut a text.

    Raises:
        CourseError: a part of the text is too short for one window.
    """
    text = read_text(settings.text)
    texts = dict(
        zip(
            ("training", "validation"),
            parts(14, "train_val_split")(text, settings.train_fraction),
            strict=True,
        )
    )
    # Training windows may overlap; validation counts every token once.
    strides = {"training": settings.windows_stride, "validation": settings.context}
    windows = {name: _windows(name, texts[name], strides[name], settings, parts) for name in texts}
    train, val = windows.values()
    if len(train) < ranks:
        raise CourseError(f"{len(train)} windows cannot be shared among {ranks} processes")
    return Data(train, val, settings.batch_size, settings.seed, rank, ranks)


def _windows(name: str, text: str, stride: int, settings: Settings, parts: Parts) -> Tensor:
    ids = parts(14, "text_to_token_ids")(text, gpt2_tokenizer(), add_batch_dim=False)
    most = len(ids) - 1
    if most < settings.context:
        way_out = f"take a longer text, or --context {most}" if most > 0 else "take a longer text"
        raise CourseError(
            f"the {name} part of {settings.text} has {len(ids):,} tokens, and one window of context "
            f"{settings.context} needs {settings.context + 1:,}: {way_out}"
        )
    dataset = parts(14, "SlidingWindowDataset")(ids, settings.context, stride)
    return torch.stack([torch.stack(tuple(dataset[i])) for i in range(len(dataset))])
