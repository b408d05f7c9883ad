"""What the history of a run says: its best look, the loss of each batch, whether it learns by heart."""

from __future__ import annotations

from collections.abc import Sequence

from common.train.runs import Record

_FOR = 20  # steps that validation has been above its best before anything is said
_LOOKS = 3  # the last ones, all of which are above it
_ABOVE = 1.01  # times the best: less may be chance

# Looks at both losses are as frequent as they are cheap: steps between two of them.
_OFTEN = (5, 10)
SAMPLES_EVERY = 20  # those cost more, and looks are at least as frequent
_POINTS = 80  # in a curve, beyond which more show nothing
_STEPS_A_BATCH = 2.5  # steps for each batch that a look takes; looking costs a third of learning


def looks_every(total: int, batches: int) -> int:
    """Steps between two looks at the losses, in a run of `total` steps where a look takes so many batches."""
    cheap = (k for k in _OFTEN if total < _POINTS * k and _STEPS_A_BATCH * batches <= k)
    return next(cheap, SAMPLES_EVERY)


def best(history: Sequence[Record]) -> Record:
    """The look with the lowest validation loss of those that left a checkpoint, or of all where none has."""
    kept = [r for r in history if r["step"] and r.get("kept", True)]
    return min(kept or history, key=lambda r: r["val_loss"])


def batch_losses(history: Sequence[Record]) -> list[tuple[int, float]]:
    """(step, loss) of each batch that was trained on, as the weights were after that many steps."""
    out = []
    for record in history:
        losses = record.get("batch_losses", [])
        out += [(record["step"] - len(losses) + i, loss) for i, loss in enumerate(losses)]
    return out


def overfitting(history: Sequence[Record]) -> str:
    """A sentence where validation has risen for a while while training went on falling; else nothing."""
    looks = [r for r in history if r["step"]]
    if len(looks) <= _LOOKS:
        return ""
    low, last = best(looks), looks[-1]
    above = all(r["val_loss"] > _ABOVE * low["val_loss"] for r in looks[-_LOOKS:])
    fell = last["train_loss"] < low["train_loss"]
    if not (above and fell and last["step"] - low["step"] >= _FOR):
        return ""
    return (
        f"Over-fitting: since step {low['step']} validation has risen from {low['val_loss']:.2f} to "
        f"{last['val_loss']:.2f}, while training fell from {low['train_loss']:.2f} to "
        f"{last['train_loss']:.2f}. The checkpoint of step {low['step']} is kept as the best."
    )
