"""A look at a model in training that leaves no trace in it: both losses, and what it writes."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import torch

from common.text.tokenizer import gpt2_tokenizer
from common.train.data import Batch, Data
from common.train.parts import Parts
from common.train.settings import Settings


def windows(data: Data, most: int) -> dict[str, list[Batch]]:
    """What each loss is measured on: the same at every look, and as many batches of both parts."""
    val = data.looked_at(data.val, most)
    # From all over the text: its beginning alone may be easier than the rest.
    chosen = torch.linspace(
        0, len(data.train) - 1, min(len(val) * data.batch_size, len(data.train))
    )
    return {"train": data.looked_at(data.train[chosen.long()], most), "val": val}


def batches(data: Data, most: int) -> int:
    """How many a look takes."""
    return sum(map(len, windows(data, most).values()))


def losses(model: Any, data: Data, settings: Settings, parts: Parts) -> dict[str, float]:
    """train_loss and val_loss, in nats per token."""
    evaluate, looked_at = parts(16, "evaluate"), windows(data, settings.eval_batches)
    with _same_randomness():
        return {f"{name}_loss": evaluate(model, looked_at[name]) for name in looked_at}


def sample(model: Any, settings: Settings, parts: Parts, device: torch.device) -> str:
    """How it continues the prompt, drawn with the same random numbers every time: what changes is the model."""
    if not settings.sample_tokens:
        return ""
    tokenizer = gpt2_tokenizer()
    ids = torch.tensor([tokenizer.encode(settings.prompt)], device=device)
    with _same_randomness():
        new = parts(15, "generate")(
            model, ids, settings.sample_tokens, settings.context, settings.sample_temperature,
            settings.sample_top_k or None, generator=torch.Generator(device).manual_seed(settings.seed),
        )  # fmt: skip
    known = new[0].clamp(max=tokenizer.n_vocab - 1)
    return settings.prompt + tokenizer.decode(known.tolist())


@contextlib.contextmanager
def _same_randomness() -> Generator[None]:
    """Whatever is drawn in the block leaves the states of the generators as they were."""
    state = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state() if torch.cuda.is_available() else None
    try:
        yield
    finally:
        torch.set_rng_state(state)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)
