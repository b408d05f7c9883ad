"""What train_gpt2 returns and refuses, for the two problems that ask for it; what its steps do stands in learning.py.

Random draws, dropout and where the weights start are the learner's own business, so a run is compared with
other runs and with what follows from it, never with numbers. Shapes: B batch, T tokens, V vocab_size.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import torch
from torch import nn

from common.testing.asserts import assert_equal, assert_raises, assert_shape, assert_true, fail
from common.testing.axes import name_sizes
from common.testing.causality import assert_causal
from common.testing.context import observe
from common.testing.modules import draw_ids

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
DEFAULTS = {
    "vocab_size": 100,
    "embed_dim": 64,
    "num_heads": 4,
    "num_layers": 2,
    "block_size": 32,
    "batch_size": 4,
    "num_steps": 50,
    "lr": 1e-3,
    "seed": 42,
}
SIZES = tuple(name for name in SMALL if name not in ("lr", "seed"))

Made = TypeVar("Made")
_made: WeakKeyDictionary[Callable[..., Any], dict[Any, Any]] = WeakKeyDictionary()


def once(function: Callable[..., Any], key: object, make: Callable[[], Made]) -> Made:
    """Make something of a learner's function once; checks of the same function get it again, to look at only."""
    try:
        known = _made.setdefault(function, {})
    except TypeError:  # a callable that cannot be kept by
        return make()
    if key not in known:
        known[key] = make()
    return known[key]


def settings(**changes: Any) -> dict[str, Any]:
    """The arguments of a small run. Its sizes get their letters for messages."""
    given = {**SMALL, **changes}
    name_sizes(V=given["vocab_size"], C=given["embed_dim"], T=given["block_size"], B=given["batch_size"])
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
            got=f"a tuple of {', '.join(kinds)}" if isinstance(result, tuple) else type(result).__name__,
            because="Its last line is `return model, losses`.",
        )
    return result


# --- what it is ----------------------------------------------------------------------------------


def assert_defaults(solution: Any) -> None:
    """Check the names and defaults of the arguments, in their order."""
    given = {name: p.default for name, p in inspect.signature(solution.train_gpt2).parameters.items()}
    for name, value in DEFAULTS.items():
        assert_equal(
            given.get(name), value, f"the default of {name}", because="The signature stands in the README's Build section."
        )
    assert_equal(
        [*given][: len(DEFAULTS)], [*DEFAULTS], "the list of arguments",
        because="The README's Build section names them in this order.",
    )  # fmt: skip


def assert_one_loss_for_each_step(solution: Any, num_steps: int) -> None:
    """Check how many losses there are, and that each is a plain number."""
    _, losses = run(solution, num_steps=num_steps)
    assert_equal(
        len(losses), num_steps, f"the number of losses for num_steps={num_steps}",
        because="There is one for each step, the first and the last included.",
    )  # fmt: skip
    assert_equal(
        sorted({type(x).__name__ for x in losses}), ["float"], "the list of types among the losses",
        because="Each is a Python float, what loss.item() gives: a tensor would keep its whole graph in memory.",
    )  # fmt: skip
    assert_true(
        all(map(math.isfinite, losses)), "a loss is NaN or infinite",
        because="No loss of a small model on a few random tokens is: a mean over nothing, 0 / 0 or the log of 0 is.",
    )  # fmt: skip


def assert_logits_for_any_length(solution: Any) -> None:
    """Check the shape of what the model gives, for texts up to block_size."""
    model, _ = run(solution)
    for length in (1, 4, 6):
        with torch.no_grad():
            out = model(draw_ids("ids", 2, length, vocab_size=17))
        assert_shape(
            out, (2, length, 17), f"model(idx) for {length} tokens and block_size=6",
            because="(B, T) ids go in, T at most block_size, and at each position come out vocab_size logits.",
        )  # fmt: skip


def assert_size_is_used(solution: Any, name: str, value: int) -> None:
    """Check that a model of another size takes ids, and that one more of width or depth has more parameters."""
    changed = settings(**{name: value})
    model, _ = run(solution, **{name: value})
    block, vocab = changed["block_size"], changed["vocab_size"]
    with torch.no_grad():
        out = model(draw_ids("ids", 2, block, vocab_size=vocab))
    because = f"The model is built of the size that {name} asks for."
    assert_shape(out, (2, block, vocab), f"model(idx) for {name}={value}", because=because)
    if name in ("embed_dim", "num_layers"):
        larger = sum(p.numel() for p in model.parameters())
        smaller = once(solution.train_gpt2, "parameters", lambda: _count(solution))
        assert_true(
            larger > smaller, f"with {name}={value} the model has no more parameters than with {name}={SMALL[name]}",
            because=because,
        )  # fmt: skip


def _count(solution: Any) -> int:
    return sum(p.numel() for p in run(solution)[0].parameters())


def assert_the_model_is_causal(solution: Any, mode: str) -> None:
    """Check that no later token is seen, in eval mode or, with the same draws of dropout, in train mode."""
    model, _ = run(solution, num_steps=2)
    model.train(mode == "train")

    def logits(ids: torch.Tensor) -> Any:
        torch.manual_seed(0)
        return model(ids)

    assert_causal(
        logits, draw_ids("ids", 2, 6, vocab_size=17),
        because=f"In {mode} mode the logits of a token depend on later ones. A GPT-2 guesses the next token, and one "
        "that can see it learns nothing by guessing.",
    )  # fmt: skip


# --- what it refuses, and its manners ------------------------------------------------------------


def assert_refuses(solution: Any, **sizes: int) -> None:
    """Check that sizes which make no model, batch or run are a ValueError."""
    call = ", ".join(f"{name}={value}" for name, value in sizes.items())
    with assert_raises(
        ValueError, f"train_gpt2({call})",
        because="Sizes that make no model, no batch or no run are refused before anything is built.",
    ):  # fmt: skip
        solution.train_gpt2(**{**SMALL, **sizes})


def assert_leaves_gradients_on(solution: Any) -> None:
    """Check that gradients can be taken after the call."""
    run(solution)
    assert_true(
        torch.is_grad_enabled(), "after train_gpt2 gradients are switched off",
        because="Whoever calls it may train on: torch.no_grad() in a `with` ends by itself, set_grad_enabled does not.",
    )  # fmt: skip
