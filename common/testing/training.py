"""The checks of train_gpt2, which two problems share: from cause to consequence.

Random draws and dropout are the learner's own business, so a run is compared with other runs and with
bounds, never with numbers. Shapes: B batch, T tokens, V vocab_size.
"""

import inspect

import pytest
import torch

from common.testing.asserts import (
    CheckFailed,
    assert_equal,
    assert_raises,
    assert_shape,
    assert_true,
    fail,
)
from common.testing.context import observe
from common.testing.modules import draw_ids
from common.testing.recording import record

SMALL = {
    "vocab_size": 17,
    "embed_dim": 12,
    "num_heads": 2,
    "num_layers": 1,
    "block_size": 6,
    "batch_size": 3,
    "num_steps": 3,
    "lr": 1e-3,
    "seed": 7,
}


def run(solution, **changes):
    """train_gpt2 at a small size; the pair it returns."""
    return pair(solution.train_gpt2(**{**SMALL, **changes}))


def recorded(solution, **changes):
    """The same, and the steps of the model that it returns."""
    result, steps = record(solution.train_gpt2, **{**SMALL, **changes})
    return *pair(result), steps


def pair(result):
    """What train_gpt2 returned, after a look at its form."""
    observe(
        "train_gpt2 returns",
        [type(part).__name__ in ("list", "tuple") for part in result]
        if isinstance(result, tuple)
        else "no tuple",
    )
    if not (isinstance(result, tuple) and len(result) == 2):
        fail(
            "train_gpt2 does not return a pair:",
            expected="(model, losses)",
            got=type(result).__name__,
            because="`return model, losses`.",
        )
    model, losses = result
    if not isinstance(model, torch.nn.Module):
        fail(
            "the first thing that train_gpt2 returns is no model:",
            expected="an nn.Module",
            got=type(model).__name__,
            because="The order is `return model, losses`.",
        )
    return model, losses


# --- train_gpt2: what it returns -----------------------------------------------------------------


@pytest.mark.parametrize("num_steps", [1, 4])
def test_there_is_one_loss_for_each_step(solution, num_steps):
    _, losses = run(solution, num_steps=num_steps)
    assert_true(
        isinstance(losses, list),
        f"the losses are no list but a {type(losses).__name__}",
        because="Collect them in a list, a Python float for each step.",
    )
    assert_equal(
        len(losses),
        num_steps,
        f"the number of losses for num_steps={num_steps}",
        because="One for each step, the first and the last included.",
    )
    kinds = sorted({type(x).__name__ for x in losses})
    assert_equal(
        kinds,
        ["float"],
        "the list of types among the losses",
        because="A Python float for each step, as it is: loss.item(). A tensor would keep its whole graph in memory.",
    )


def test_the_model_gives_logits_for_the_whole_vocabulary(solution):
    model, _ = run(solution)
    for length in (1, 4, 6):
        with torch.no_grad():
            out = model(draw_ids("ids", 2, length, vocab_size=17))
        assert_shape(
            out,
            (2, length, 17),
            f"model(idx) for {length} tokens",
            because="The model returned is a GPT-2: (B, T) ids in, (B, T, vocab_size) logits out.",
        )


@pytest.mark.parametrize(
    "sizes",
    [{"vocab_size": 23}, {"block_size": 9}, {"embed_dim": 20}, {"num_layers": 2}, {"num_heads": 3}],
    ids=str,
)
def test_the_sizes_are_those_that_were_asked_for(solution, sizes):
    ((name, value),) = sizes.items()
    model, _ = run(solution, num_steps=1, **sizes)
    block, vocab = sizes.get("block_size", 6), sizes.get("vocab_size", 17)
    with torch.no_grad():
        out = model(draw_ids("ids", 2, block, vocab_size=vocab))
    assert_shape(
        out,
        (2, block, vocab),
        f"model(idx) for {name}={value}",
        because=f"The argument {name} has to reach the model.",
    )
    if name in ("embed_dim", "num_layers"):
        count = {
            n: sum(p.numel() for p in run(solution, num_steps=1, **{name: n})[0].parameters())
            for n in (SMALL[name], value)
        }
        observe(f"{name} changes the model", count[SMALL[name]] != count[value])
        if count[SMALL[name]] == count[value]:
            fail(
                f"{name} has no effect on the number of parameters:",
                expected="more parameters for a larger model",
                got=f"{count[value]:,} for both",
                because=f"The argument {name} has to reach the model.",
            )


def test_the_model_is_causal(solution):
    model, _ = run(solution)
    model.eval()
    ids = draw_ids("ids", 2, 6, vocab_size=17)
    changed = ids.clone()
    changed[:, 4] = (ids[:, 4] + 1) % 17
    with torch.no_grad():
        moved = (model(ids)[:, :4] != model(changed)[:, :4]).any()
    assert_true(
        not bool(moved),
        "changing token 4 changes the model's logits at earlier positions",
        because="The model trained is a GPT-2, whose attention is causal; one that sees the next token learns nothing by predicting it.",
    )


# --- train_gpt2: it is reproducible --------------------------------------------------------------


def test_the_same_seed_gives_the_same_losses(solution):
    torch.manual_seed(1)
    _, first = run(solution)
    torch.manual_seed(2)
    torch.rand(5)
    _, second = run(solution)
    same_start = first[0] == second[0]
    observe("same first loss", same_start)
    assert_true(
        first == second, "two runs with one seed give different losses",
        because=("The first losses agree and later ones do not: the batches are drawn without the seed." if same_start else "Already the first losses differ: ")
        + ("" if same_start else "call torch.manual_seed(seed) before the model is built, as its weights are random as well, and let nothing depend on the random state before the call."),
    )  # fmt: skip


def test_another_seed_gives_other_losses(solution):
    _, first = run(solution, seed=7)
    _, second = run(solution, seed=8)
    assert_true(
        first != second,
        "two seeds give the same losses",
        because="The argument seed is ignored: a fixed number is used instead.",
    )


# --- bad sizes and manners -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    ["vocab_size", "embed_dim", "num_heads", "num_layers", "block_size", "batch_size", "num_steps"],
)
@pytest.mark.parametrize("value", [0, -1])
def test_sizes_below_one_are_refused(solution, field, value):
    if (field, value) == ("num_steps", 0):
        return  # no steps, no losses: to some that is a size like any other
    with assert_raises(
        ValueError,
        f"train_gpt2({field}={value})",
        because="Every size is at least 1. The config checks the model's; batch_size and num_steps are yours to check.",
    ):
        run(solution, **{field: value})


def test_a_width_that_the_heads_do_not_divide_is_refused(solution):
    with assert_raises(
        ValueError,
        "train_gpt2(embed_dim=12, num_heads=5)",
        because="embed_dim has to be a multiple of num_heads; GPT2Config says so by itself.",
    ):
        run(solution, embed_dim=12, num_heads=5)


def test_the_defaults_are_those_of_the_contract(solution):
    defaults = {
        name: p.default for name, p in inspect.signature(solution.train_gpt2).parameters.items()
    }
    expected = {
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
    for name, value in expected.items():
        assert_equal(
            defaults.get(name),
            value,
            f"the default of {name}",
            because="The signature stands in the README's Build section.",
        )


def test_gradients_can_be_taken_afterwards(solution):
    run(solution, num_steps=1)
    if not torch.is_grad_enabled():
        raise CheckFailed(
            "train_gpt2 leaves gradients switched off",
            because="Use torch.no_grad() as a context manager, so that it ends.",
        )
