"""Runs of train_gpt2 for checks to look at: a small one, and a recorded one, step by step.

A run is recorded once for each solution, and each step of it is computed again. Shapes: B batch, T tokens,
V vocab_size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from common.testing.asserts import assert_equal, fail
from common.testing.axes import name_sizes
from common.testing.context import current, observe
from common.testing.recording import record, replay

SMALL = {
    "vocab_size": 17,
    "embed_dim": 12,
    "num_heads": 2,
    "num_layers": 1,
    "block_size": 6,
    "batch_size": 3,
    "num_steps": 1,
    "lr": 1e-2,
    "seed": 7,
}

Made = TypeVar("Made")
_KEPT = 4  # functions whose runs are kept: checks of one follow each other, and runs are large
_made: WeakKeyDictionary[Callable[..., Any], dict[Any, Any]] = WeakKeyDictionary()


def once(function: Callable[..., Any], key: object, make: Callable[[], Made]) -> Made:
    """Make something of a learner's function once; checks of the same function get it again, to look at only."""
    if current().anew:
        return make()
    try:
        known = _made.setdefault(function, {})
    except TypeError:  # a callable that cannot be kept by
        return make()
    for oldest in [*_made][:-_KEPT]:
        del _made[oldest]
    if key not in known:
        known[key] = make()
    return known[key]


def settings(**changes: Any) -> dict[str, Any]:
    """The arguments of a small run. Its sizes get their letters for messages."""
    given: dict[str, Any] = {**SMALL, **changes}
    name_sizes(
        V=given["vocab_size"], C=given["embed_dim"], T=given["block_size"], B=given["batch_size"]
    )
    return given


def run(solution: Any, **changes: Any) -> tuple[nn.Module, list[float]]:
    """train_gpt2 at a small size; the pair it returns."""
    return pair(solution.train_gpt2(**settings(**changes)))


def pair(result: Any) -> tuple[nn.Module, list[float]]:
    """What train_gpt2 returned, after a look at its form."""
    parts = result if isinstance(result, tuple) else (result,)
    kinds = ["a model" if isinstance(part, nn.Module) else type(part).__name__ for part in parts]
    if kinds != ["a model", "list"]:
        observe("train_gpt2 returns", kinds)
        fail(
            "train_gpt2 does not return what it should:",
            expected="a tuple of two: a model (an nn.Module) and a list",
            got=f"a tuple of {', '.join(kinds)}"
            if isinstance(result, tuple)
            else type(result).__name__,
            because="Its last line is `return model, losses`.",
        )
    return result


# --- a recorded run ------------------------------------------------------------------------------

STEPS = 4
BLOCK, BATCH = SMALL["block_size"], SMALL["batch_size"]
RATE: float = SMALL["lr"]
Weights = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Again:
    """A step computed again from its tokens and the weights before it: the loss, its gradients."""

    loss: Tensor
    error: Tensor  # (B, T, V), by the logits
    gradients: Weights

    @cached_property
    def clear(self) -> Weights:
        """Where each gradient is more than rounding (that of a bias of the keys is nothing else)."""
        sizes = {name: g.abs() for name, g in self.gradients.items()}
        largest = {name: float(g.max()) for name, g in sizes.items()}
        noise = 1e-5 * max(largest.values(), default=0.0)
        return {name: g > max(1e-3 * largest[name], noise) for name, g in sizes.items()}


@dataclass(frozen=True, eq=False)
class Taken:
    """A step of a run.

    Args:
        ids: (B, T). error: (B, T, V), the gradient of its loss by the logits.
        stale: gradients of an earlier step were there when backward() began.
        before, after: the weights, by name.
        found: the gradients that the optimizer found, by name.
    """

    ids: Tensor
    error: Tensor
    stale: bool
    before: Weights
    after: Weights
    found: Weights

    @property
    def targets(self) -> Tensor:
        """(B, T): the tokens that the loss looked for. No logit has a larger gradient than that of the target."""
        return self.error.abs().argmax(-1)

    def has_softmax_twice(self, right: Again) -> bool:
        """Whether the loss got probabilities where it wants logits: the gradient is that of this."""
        positions = self.ids.numel()
        hot = F.one_hot(right.error.abs().argmax(-1), right.error.size(-1))
        probs = right.error * positions + hot
        by_probs = (probs.softmax(-1) - hot) / positions
        by_logits = probs * (by_probs - (probs * by_probs).sum(-1, keepdim=True))
        return bool((self.error - by_logits).abs().max() <= 1e-3 * by_logits.abs().max())

    def move(self, name: str) -> Tensor:
        """How far a parameter went."""
        return self.after[name] - self.before[name]


@dataclass(frozen=True, eq=False)
class Training:
    """A run, and what it asked for.

    Args:
        held: its parameters held gradients in the end.
        replays: the steps computed again, or the error that this ended in.
    """

    losses: list[float]
    steps: list[Taken]
    num_steps: int
    held: bool
    replays: list[Again] | Exception

    @property
    def never_moved(self) -> list[str]:
        """The parameters that no step moves."""
        return [n for n in self.steps[0].before if not any(s.move(n).any() for s in self.steps)]

    @property
    def piled_up(self) -> list[int]:
        """The steps in which the optimizer found its gradient added to that of the step before."""
        if isinstance(self.replays, Exception):
            return []
        triples = zip(self.steps, self.steps[1:], self.replays[1:], strict=False)
        return [
            number
            for number, (earlier, step, right) in enumerate(triples, 2)
            if _is_added(step.found, earlier.found, right.gradients)
        ]

    @property
    def put_back(self) -> int:
        """The step whose weights before it are those of the end; 0 where none are."""
        end, known = self.steps[-1].after, enumerate(self.steps, 1)
        same = (i for i, s in known if all(torch.equal(w, end[n]) for n, w in s.before.items()))
        return next(same, 0)

    @property
    def again(self) -> Iterator[tuple[int, Taken, Again]]:
        """Each step beside what it should be."""
        if isinstance(self.replays, Exception):
            raise self.replays
        return zip(range(1, len(self.steps) + 1), self.steps, self.replays, strict=True)


def _is_added(found: Weights, earlier: Weights, own: Weights) -> bool:
    names = [n for n, g in earlier.items() if n in own and bool((g.abs() > 1e-4).any())]
    return bool(names) and all(
        n in found and torch.allclose(found[n] - own[n], earlier[n], atol=1e-6) for n in names
    )


def trained(solution: Any, *, again: bool = True, **changes: Any) -> Training:
    """A small run of several steps, each of which trained the model that came back.

    Args:
        again: the steps are computed again.
    """
    run = recorded(solution, again=again, **{"num_steps": STEPS, **changes})
    learned = "the number of steps in which the model that train_gpt2 returns was called with (B, T) ids and learned"
    assert_equal(
        len(run.steps), run.num_steps, f"{learned}, for num_steps={run.num_steps},",
        because="Each step computes model(inputs), the loss of these logits and loss.backward(), and the model that "
        "is returned in the end is the one that was trained.",
    )  # fmt: skip
    return run


def recorded(solution: Any, *, again: bool = False, **changes: Any) -> Training:
    """The same, however many steps were made; one of each kind for a solution."""
    given = settings(**changes)
    key = again, *given.values()
    run = once(solution.train_gpt2, key, lambda: _recorded(solution, given, again))
    observe("the losses", run.losses)
    return run


def _recorded(solution: Any, given: dict[str, Any], again: bool) -> Training:
    result, made = record(solution.train_gpt2, **given)
    model, losses = pair(result)
    end = {name: p.detach().clone() for name, p in model.named_parameters()}
    held = any(p.grad is not None and bool(p.grad.any()) for p in model.parameters())
    weights = [*(step.before for step in made), end]
    steps = [
        Taken(step.ids.clone(), step.error.clone(), bool(step.stale), before, after, step.found)
        for step, before, after in zip(made, weights, weights[1:], strict=False)
        if step.error is not None
    ]
    try:
        replays: list[Again] | Exception = [_again(model, step) for step in made if again]
    except Exception as error:
        replays = error
    return Training([float(loss) for loss in losses], steps, given["num_steps"], held, replays)


def _again(model: torch.nn.Module, step: Any) -> Again:
    loss, error, _ = replay(model, step)
    grads = {
        name: p.grad.detach().clone() for name, p in model.named_parameters() if p.grad is not None
    }
    return Again(loss.clone(), error.clone(), grads)


def twice(solution: Any, **changes: Any) -> tuple[Training, Training]:
    """Two runs of one seed, each after other draws."""
    given = settings(num_steps=2, **changes)

    def after(seed: int) -> Training:
        torch.manual_seed(seed)
        torch.rand(seed)
        return _recorded(solution, given, again=False)

    runs = once(solution.train_gpt2, ("twice", *given.values()), lambda: (after(1), after(2)))
    for run in runs:
        observe("the losses", run.losses)
    return runs


def listed(steps: list[int]) -> str:
    return f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"
