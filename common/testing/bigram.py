"""A model so small that its loss, its gradient and each of its updates can be worked out beside it.

It looks at one token and says how likely each is to come next. Shapes: B batch, T tokens, V vocab_size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.testing.asserts import fail
from common.testing.context import current, observe
from common.testing.elsewhere import DevicesDiffer, elsewhere
from common.testing.modules import draw, draw_ids

V = 7
Batch = tuple[Tensor, Tensor]  # inputs and targets, both (B, T)


@dataclass(eq=False)
class Call:
    """A call of the model that a backward() came back to."""

    ids: Tensor
    training: bool
    before: dict[str, Tensor]  # the parameters then


class Bigram(nn.Module):
    """logits = gain * (wte[id] + ln_f.bias), then dropout; ln_f.weight has a gradient of 0.

    All parameters begin at zero, but for ln_f.weight, which is one. `learned` fills with the calls that
    a backward() came back to.
    """

    def __init__(self, gain: float = 1.0, dropout: float = 0.0) -> None:
        super().__init__()
        self.wte, self.ln_f, self.drop = nn.Embedding(V, V), nn.LayerNorm(V), nn.Dropout(dropout)
        self.gain = gain
        self.learned: list[Call] = []
        nn.init.zeros_(self.wte.weight)
        self.to(current().device)

    def forward(self, input_ids: Tensor) -> Tensor:
        logits = self.gain * (self.wte(input_ids) + self.ln_f.bias) + 0 * self.ln_f.weight
        if logits.requires_grad:
            call = Call(input_ids, self.training, self.now())
            logits.register_hook(lambda _: self.learned.append(call))
        return self.drop(logits)

    def now(self) -> dict[str, Tensor]:
        """A copy of the parameters."""
        return {name: p.detach().clone() for name, p in self.named_parameters()}

    def states(self) -> list[dict[str, Tensor]]:
        """The parameters before each update, and after the last."""
        return [*(call.before for call in self.learned), self.now()]

    def table(self) -> Tensor:
        """The logits (V, V) that each id has without dropout."""
        return self.gain * (self.wte.weight + self.ln_f.bias).detach()

    def gradient(self, state: dict[str, Tensor], batch: Batch) -> dict[str, Tensor]:
        """The gradients of wte.weight and ln_f.bias for a batch with these parameters, by name."""
        leaves = {
            name: state[name].clone().requires_grad_() for name in ("wte.weight", "ln_f.bias")
        }
        ids, targets = batch
        logits = self.gain * (leaves["wte.weight"][ids] + leaves["ln_f.bias"])
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
        return dict(zip(leaves, torch.autograd.grad(loss, [*leaves.values()]), strict=True))


def taught(gain: float = 1.0, dropout: float = 0.0) -> Bigram:
    """A Bigram whose guesses are sure of themselves, and mostly wrong; its gradients grow with the gain."""
    model = Bigram(gain, dropout)
    with torch.no_grad():
        model.wte.weight.copy_(3 / gain * draw("table", V, V))
    return model


def batch(name: str, B: int, T: int, vocab_size: int = V) -> Batch:
    """Inputs and targets that follow from the name."""
    inputs, targets = (
        draw_ids(f"{name} {part}", B, T, vocab_size=vocab_size) for part in ("in", "out")
    )
    return inputs, targets


def mean_loss(table: Tensor, batches: Sequence[Batch]) -> Tensor:
    """The mean cross-entropy over all tokens of these batches, for logits table[id]."""
    pairs = [(table[ids].flatten(0, 1), targets.flatten()) for ids, targets in batches]
    logits, targets = (torch.cat(part) for part in zip(*pairs, strict=True))
    return F.cross_entropy(logits, targets)


def on_the_cpu(batches: Sequence[Batch]) -> list[Batch]:
    """The same batches as a loader makes them, whatever device is under test."""
    return [(inputs.to("cpu"), targets.to("cpu")) for inputs, targets in batches]


def assert_data_moves(what: str, run: Callable[[Bigram], object]) -> None:
    """Check that a function which gets CPU batches brings them to where the model lies."""

    class Enough(Exception):
        """backward() has been reached, and with it all that was to be seen."""

    def stop(_: Tensor) -> None:
        raise Enough

    model, trouble = taught().to("cpu"), ""
    model.wte.weight.register_hook(stop)
    with elsewhere(model):
        try:
            run(model)
        except DevicesDiffer as error:
            trouble = str(error)
        except NotImplementedError:
            raise
        except Exception:  # the stand-in for a GPU has limits, which are nobody's mistake
            pass
    observe(f"{what} on another device", trouble.partition(":")[0])
    if trouble:
        fail(
            f"{what} fails with a model on a GPU:",
            expected="data on the model's device",
            got=trouble,
            because="A loader yields CPU tensors: inputs and targets both move to the device of the parameters.",
        )
