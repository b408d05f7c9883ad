"""What each step of a training run was given and did, without asking the one who trains.

It works where the training runs: in this process, or in that of a student whose code is graded, which then
only claims it; `replay` computes it again from what is claimed. Needs nothing but torch. Shapes: B batch,
T tokens, V vocab_size.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle


@dataclass(eq=False)
class Step:
    """One step, of which backward() is the middle.

    Args:
        ids: (B, T), what the model was given.
        before: the parameters then, by name.
        random: torch's random state then, from which dropout was drawn.
        training: the model's mode.
        error: (B, T, V), the gradient of the loss by the logits; none before backward().
        stale: names of the parameters that had a gradient of an earlier step when backward() began.
        left: the gradients that backward() left, by name.
        found: those of its parameters that the optimizer found, by name; none before its step.
        rates: those of the optimizer's groups. optimizer: which one it was, 0 before its step.
    """

    ids: Tensor
    before: dict[str, Tensor]
    random: Tensor
    training: bool
    error: Tensor | None = None
    stale: list[str] = field(default_factory=list)
    left: dict[str, Tensor] = field(default_factory=dict)
    found: dict[str, Tensor] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)
    optimizer: int = 0


@dataclass
class _Notes:
    """Of each module that was called with ids, its steps."""

    steps: list[tuple[nn.Module, Step]] = field(default_factory=list)
    names: dict[nn.Module, dict[int, str]] = field(default_factory=dict)  # of those that learn
    holding: dict[nn.Module, set[str]] = field(
        default_factory=dict
    )  # a gradient, as backward() begins
    # Hooks that are never removed keep their tensors, and these a model, for as long as the process lives.
    hooks: list[RemovableHandle] = field(default_factory=list)

    def before(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if not (args and isinstance(args[0], Tensor) and torch.is_grad_enabled()):
            return
        if args[0].dtype == torch.int64 and args[0].ndim == 2:
            before = {name: p.detach().clone() for name, p in module.named_parameters()}
            step = Step(args[0].clone(), before, torch.get_rng_state(), module.training)
            self.steps.append((module, step))

    def after(self, module: nn.Module, _: Any, output: Any) -> None:
        step = next((s for m, s in reversed(self.steps) if m is module), None)
        given = (
            output if isinstance(output, tuple) else (output,)
        )  # some models return their loss as well
        logits = next(
            (o for o in given if isinstance(o, Tensor) and o.ndim == 3 and o.requires_grad), None
        )
        if step is None or logits is None:
            return
        self._listen(module)
        hook = logits.register_hook(lambda error: self._going_back(module, step, error))
        self.hooks.append(hook)

    def _listen(self, module: nn.Module) -> None:
        """Hear of each gradient; only backward() adds to one, torch.autograd.grad leaves it alone."""
        if module in self.names:
            return
        self.names[module] = {id(p): name for name, p in module.named_parameters()}
        for name, parameter in module.named_parameters():
            if not parameter.requires_grad:
                continue

            def left(p: Tensor, name: str = name) -> None:
                if (step := self._going(module)) and p.grad is not None:
                    step.left[name] = p.grad.clone()
                    step.stale += [name] * (name in self.holding[module])

            self.hooks.append(parameter.register_post_accumulate_grad_hook(left))

    def _going(self, module: nn.Module) -> Step | None:
        """The step of this module that backward() was last called in."""
        return next(
            (s for m, s in reversed(self.steps) if m is module and s.error is not None), None
        )

    def _going_back(self, module: nn.Module, step: Step, error: Tensor) -> None:
        step.error = error.detach().clone()
        held = ((name, p.grad) for name, p in module.named_parameters())
        self.holding[module] = {
            name for name, grad in held if grad is not None and bool(grad.any())
        }

    def updating(self, optimizer: torch.optim.Optimizer, *_: Any) -> None:
        """Note what an optimizer finds; torch tells of the step of a subclass of its own twice."""
        held = [p for group in optimizer.param_groups for p in group["params"]]
        for module, names in self.names.items():
            step = self._going(module)
            if step is None or step.optimizer or not any(id(p) in names for p in held):
                continue
            step.optimizer = id(optimizer)
            step.rates = [float(group["lr"]) for group in optimizer.param_groups]
            for p in (p for p in held if id(p) in names):
                step.found[names[id(p)]] = torch.zeros_like(p) if p.grad is None else p.grad.clone()


@contextmanager
def _noting() -> Generator[_Notes]:
    notes = _Notes()
    handles = [
        register_module_forward_pre_hook(notes.before),
        register_module_forward_hook(notes.after),
        register_optimizer_step_pre_hook(notes.updating),
    ]
    try:
        yield notes
    finally:
        for handle in [*handles, *notes.hooks]:
            handle.remove()


def record(train: Callable[..., Any], **settings: Any) -> tuple[Any, list[Step]]:
    """Call a function that trains a model and returns it first; its result, and the steps of that model.

    Args:
        train: may bring a `recorded` of its own: then it runs in another process, which does the noting.
    """
    if recorded := getattr(train, "recorded", None):
        result, steps = recorded(**settings)
        return result, [Step(**step) for step in steps]
    with _noting() as notes:
        result = train(**settings)
    model = result[0] if isinstance(result, tuple) and result else None
    return result, [
        step for module, step in notes.steps if module is model and step.error is not None
    ]


def replay(model: nn.Module, step: Step) -> tuple[Tensor, Tensor, Tensor]:
    """Compute a step again: the loss, the error that follows from it, and the error that the step had.

    The model keeps the gradients of the loss; its parameters are those before the step.

    Returns:
        A scalar and twice (B, T, V). The loss is the mean cross-entropy with the next tokens; the last
        position's, which are not among the inputs, are read off the error that the step had.
    """
    assert step.error is not None
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(step.before[name])
            p.grad = None
    model.train(step.training)
    torch.set_rng_state(step.random)
    logits = model(step.ids)
    targets = torch.cat([step.ids[:, 1:], step.error[:, -1:].argmin(-1)], dim=1)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
    (right,) = torch.autograd.grad(loss, logits, retain_graph=True)
    loss.backward()
    return loss.detach(), right, step.error
