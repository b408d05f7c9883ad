"""What somebody looks at who runs the file: the log of a run, what it says when it is asked twice, and a sample."""

from collections.abc import Iterator
from typing import Any

import torch

from common.text.texts import read_text


def look(solution: Any) -> Iterator[str]:
    """Train on the course's story as main() does, and use what comes out; a line as soon as it is known."""
    lines: list[str] = []

    def show(record: Any) -> None:
        losses = f"train {record.train_loss:.3f}  val {record.val_loss:.3f}"
        lines.append(f"step {record.step:>4}  {losses}  lr {record.rate:.5f}  norm {record.grad_norm:.2f}")

    text, settings = read_text(), solution.Settings()
    try:
        model, tokenizer, _ = solution.train(text, settings, show)
    finally:
        yield from lines
    _, rest = solution.split(tokenizer.encode(text))
    again = [solution.evaluate(model, rest, settings) for _ in range(2)]
    yield f"the trained model on the validation text, evaluated twice: {again[0]:.4f}, {again[1]:.4f}"
    size = sum(p.numel() for p in model.parameters())
    unused = sum(p.grad is None for p in model.parameters())
    yield f"{size:,} parameters; {unused} of their tensors have no gradient"
    prompt = tokenizer.encode("The sea ")[None]
    for name, options in (("most likely", (0,)), ("drawn at 0.8 from the 20 most likely", (0.8, 20))):
        generator = torch.Generator().manual_seed(0)
        out = solution.generate(model, prompt, 120, *options, generator=generator)
        yield f"a sample, {name}:"
        yield f"      {tokenizer.decode(out[0])!r}"
