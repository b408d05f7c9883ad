"""What train_gpt2 returns, draws and refuses, for the two problems that ask for it.

Random draws, dropout and where the weights start are the learner's own business, so a run is compared with
other runs and with what follows from it, never with numbers. Shapes: B batch, T tokens, V vocab_size.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import torch

from common.testing.asserts import assert_equal, assert_raises, assert_shape, assert_true, fail
from common.testing.causality import assert_causal, assert_follows_from_the_past
from common.testing.context import observe
from common.testing.graphs import hidden
from common.testing.modules import draw_ids
from common.testing.training_runs import (
    BATCH,
    BLOCK,
    SMALL,
    STEPS,
    listed,
    once,
    recorded,
    run,
    settings,
    trained,
    twice,
)

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


# --- what it is ----------------------------------------------------------------------------------


def assert_defaults(solution: Any) -> None:
    """Check the names and defaults of the arguments, in their order."""
    given = {
        name: p.default for name, p in inspect.signature(solution.train_gpt2).parameters.items()
    }
    for name, value in DEFAULTS.items():
        assert_equal(
            given.get(name),
            value,
            f"the default of {name}",
            because="The signature stands in the README's Build section.",
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
        because="No loss of a small model on a few random tokens is. 0 * -inf, as in a mask that is multiplied, a mean "
            "over nothing, 0 / 0 and the log of 0 are.",
    )  # fmt: skip


def assert_logits_for_any_length(solution: Any) -> None:
    """Check the shape of what the model gives, for texts up to block_size."""
    model, _ = run(solution)
    for length in (1, 4, 6):
        with torch.no_grad():
            out = model(draw_ids("ids", 2, length, vocab_size=17))
        because = "(B, T) ids go in, T at most block_size, and at each position come out vocab_size logits."
        assert_shape(
            out,
            (2, length, 17),
            f"model(idx) for {length} tokens and block_size=6",
            because=because,
        )


def assert_size_is_used(solution: Any, name: str, value: int) -> None:
    """Check that a model of another size takes ids, and that more width, depth or positions are more parameters."""
    changed = settings(**{name: value})
    model, _ = run(solution, **{name: value})
    block, vocab = changed["block_size"], changed["vocab_size"]
    with torch.no_grad():
        out = model(draw_ids("ids", 2, block, vocab_size=vocab))
    because = f"The model is built of the size that {name} asks for."
    assert_shape(out, (2, block, vocab), f"model(idx) for {name}={value}", because=because)
    if name in ("embed_dim", "num_layers", "block_size"):
        larger = sum(p.numel() for p in model.parameters())
        smaller = once(solution.train_gpt2, "parameters", lambda: _count(solution))
        assert_true(
            larger > smaller, f"with {name}={value} the model has no more parameters than with {name}={SMALL[name]}",
            because=f"{because} {hidden(model)}".strip(),
        )  # fmt: skip
    if name == "num_heads":
        losses = [run(solution, num_steps=4, num_heads=heads)[1] for heads in (SMALL[name], value)]
        assert_true(
            losses[0] != losses[1], f"the losses for num_heads={value} are exactly those for num_heads={SMALL[name]}",
            because=f"{because} Each head has a softmax of its own, over scores of embed_dim / num_heads channels.",
        )  # fmt: skip


def _count(solution: Any) -> int:
    return sum(p.numel() for p in run(solution)[0].parameters())


def assert_the_model_is_causal(solution: Any, mode: str) -> None:
    """Check that no later token is seen, in eval mode or, with the same draws of dropout, in train mode."""
    model, _ = run(solution)
    model.train(mode == "train")

    def logits(ids: torch.Tensor) -> Any:
        torch.manual_seed(0)
        return model(ids)

    ids = draw_ids("ids", 2, 6, vocab_size=17)
    assert_causal(
        logits, ids,
        because=f"In {mode} mode the logits of a token depend on later ones. A GPT-2 guesses the next token, and one "
        "that can see it learns nothing by guessing.",
    )  # fmt: skip
    if mode == "eval":
        assert_follows_from_the_past(logits, ids)


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


# --- the seed ------------------------------------------------------------------------------------


def assert_seed_fixes_the_weights(solution: Any) -> None:
    """Check that two runs with one seed begin with the same weights."""
    one, two = ([step.before for step in run.steps[:1]] for run in twice(solution))
    assert_true(
        all(
            torch.equal(p, b[name]) for a, b in zip(one, two, strict=False) for name, p in a.items()
        ),
        "two runs with one seed begin with different weights",
        because="The first weights are random, too: they are drawn after torch.manual_seed(seed), whatever was drawn "
        "before, and for each call anew: a model that is kept, as by lru_cache, has learned already.",
    )


def assert_seed_fixes_the_tokens(solution: Any) -> None:
    """Check that two runs with one seed are given the same tokens."""
    one, two = ([step.ids.tolist() for step in run.steps] for run in twice(solution))
    assert_true(
        one == two, "two runs with one seed are given different tokens",
        because="What draws the tokens follows from seed alone: the state that torch.manual_seed(seed) sets, or a "
        "generator that is made anew in each call.",
    )  # fmt: skip


def assert_seed_fixes_the_losses(solution: Any) -> None:
    """Check that two runs with one seed give the same losses."""
    one, two = twice(solution)
    assert_true(
        one.losses == two.losses, "two runs with one seed give different losses",
        because="Whatever is drawn in a run, weights, tokens and dropout, follows from seed, and a call keeps nothing "
        "for the next.",
    )  # fmt: skip


def assert_seed_zero(solution: Any) -> None:
    """Check that 0 is a seed like any other."""
    one, two = twice(solution, seed=0)
    assert_true(
        one.losses == two.losses, "two runs with seed=0 give different losses",
        because="0 is a seed like any other, though it counts as false.",
    )  # fmt: skip


def assert_seeds_differ(solution: Any) -> None:
    """Check that another seed gives other losses."""
    (first, _), second = twice(solution), recorded(solution, seed=8, num_steps=2)
    assert_true(
        first.losses != second.losses, "two seeds give the same losses",
        because="What is drawn follows from the argument seed, so another one gives other weights, tokens and losses.",
    )  # fmt: skip


# --- the tokens ----------------------------------------------------------------------------------


def assert_batch_shape(solution: Any, batch_size: int) -> None:
    """Check the shape of what the model is given at each step."""
    run = recorded(solution, batch_size=batch_size)
    wrong = [
        tuple(step.ids.shape) for step in run.steps if tuple(step.ids.shape) != (batch_size, BLOCK)
    ]
    assert_equal(
        wrong[0] if wrong else (batch_size, BLOCK), (batch_size, BLOCK),
        f"the shape of the model's input in training, for batch_size={batch_size} and block_size={BLOCK},",
        because="A step draws (batch_size, block_size + 1) tokens: block_size inputs and, one further on, block_size "
        "targets.",
    )  # fmt: skip


def assert_fresh_tokens(solution: Any) -> None:
    """Check that no step gets the texts of an earlier one."""
    steps = trained(solution).steps
    again = [
        i for i, step in enumerate(steps) if any(torch.equal(step.ids, s.ids) for s in steps[:i])
    ]
    observe("steps whose tokens came before", [i + 1 for i in again])
    if again:
        fail(
            f"step {again[0] + 1} is given the very tokens of a step before it:",
            expected=f"{STEPS} batches of {BATCH} texts, no two alike",
            got=f"repeated tokens in {listed([i + 1 for i in again])}",
            because="Each step draws tokens of its own: a batch that comes again is learned by heart.",
        )


def assert_texts_differ(solution: Any) -> None:
    """Check that the texts of a batch are drawn one by one, and the tokens of a text."""
    ids = trained(solution).steps[0].ids
    rows, columns = bool((ids[1:] == ids[:1]).all()), bool((ids[:, 1:] == ids[:, :1]).all())
    assert_true(
        not rows,
        "all texts of a batch are the same",
        because="All (batch_size, block_size + 1) tokens are drawn one by one.",
    )
    assert_true(
        not columns, "all tokens of a text are the same",
        because="All (batch_size, block_size + 1) tokens are drawn one by one.",
    )  # fmt: skip


def assert_whole_vocabulary(solution: Any) -> None:
    """Check that every id turns up among many."""
    run = trained(solution, vocab_size=23, batch_size=32, block_size=16, num_steps=1, again=False)
    never = sorted({*range(23)} - {*run.steps[0].ids.flatten().tolist()})
    observe("ids that never turn up", never)
    if never:
        fail(
            "some tokens of the vocabulary are never drawn:",
            expected="each of the ids 0 to 22 among the 512 inputs of a step, for vocab_size=23",
            got=f"no {', '.join(map(str, never))}",
            because="Tokens are drawn evenly from all ids below vocab_size, 0 and the last one included.",
        )
    run = trained(solution, vocab_size=3, batch_size=24, block_size=31, num_steps=1, again=False)
    counts = run.steps[0].ids.flatten().bincount(minlength=3).tolist()
    # Of 744 draws a third is 248, and 77 more or less are six standard deviations.
    if max(abs(count - sum(counts) / 3) for count in counts) > 77:
        fail(
            "the tokens are not drawn evenly:",
            expected="each of 3 ids about 248 times among 744 inputs",
            got=f"id 0, 1 and 2: {counts}",
            because="Every id below vocab_size has the same chance, as torch.randint gives it; rounding to the nearest "
            "whole number leaves the first and the last one half of it.",
        )
