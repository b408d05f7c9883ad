"""The checks of train_gpt2, which two problems share: from cause to consequence.

Random draws and dropout are the learner's own business, so a run is compared with other runs and with
bounds, never with numbers. Shapes: B batch, T tokens, V vocab_size.
"""

import inspect
import math

import pytest
import torch

from common.testing.asserts import (
    CheckFailed,
    assert_close,
    assert_equal,
    assert_raises,
    assert_shape,
    assert_true,
    fail,
)
from common.testing.modules import draw_ids
from common.testing.trace import observe

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
    result = solution.train_gpt2(**{**SMALL, **changes})
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


# --- train_gpt2: it trains -----------------------------------------------------------------------


def test_the_first_loss_is_no_better_than_a_blind_guess(solution):
    # However the weights start: a model that knows nothing cannot beat ln V, and PyTorch's own start costs three times that here.
    _, losses = run(solution, vocab_size=50, embed_dim=8, block_size=12, batch_size=16, num_steps=1)
    times = losses[0] / math.log(50)
    observe("first loss", "low" if times < 0.85 else "high" if times > 7 else "right")
    if not 0.85 <= times <= 7:
        fail(
            "the first loss of a new model is wrong:", expected=f"about ln V = {math.log(50):.2f}, or a few times that", got=f"{losses[0]:.3f}",
            because="It is far below what a blind guess costs: the model sees its targets, or they are no tokens." if times < 1
            else "It is many times what a blind guess costs: a sum over positions or texts instead of their mean?",
        )  # fmt: skip


def test_the_losses_are_taken_before_each_update(solution):
    _, slow = run(solution, lr=1e-9, num_steps=1)
    _, fast = run(solution, lr=0.3, num_steps=1)
    assert_close(
        torch.tensor(fast[0]), torch.tensor(slow[0]), "the first loss with a learning rate of 0.3, compared with one of 1e-9,",
        because="The loss of a step is taken before its update, so the first one does not depend on lr.", record=False, atol=1e-4,
    )  # fmt: skip


def test_training_moves_the_weights(solution):
    short, long = (run(solution, lr=0.05, num_steps=n)[0] for n in (1, 4))
    moved = any(
        bool((a != b).any()) for a, b in zip(short.parameters(), long.parameters(), strict=True)
    )
    assert_true(
        moved, "a run of 4 steps ends with the same weights as one of 1 step",
        because="No weight moves: optimizer.step() is missing, or finds no gradient (no backward(), or zero_grad() between the two), or the optimizer holds another model's parameters.",
    )  # fmt: skip


def movement(solution, lr, num_steps):
    """How far the largest-moving parameter went from where the same run with a tiny lr left it."""
    moved, still = (
        run(solution, lr=lr, num_steps=num_steps)[0],
        run(solution, lr=1e-12, num_steps=num_steps)[0],
    )
    pairs = zip(moved.parameters(), still.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


def test_one_step_moves_the_weights_by_the_learning_rate(solution):
    lr = 1e-2
    far = movement(solution, lr, 1)
    observe("first step in learning rates", round(far / lr, 1) if far < 20 * lr else "many")
    says = f"Adam's first step has the size of lr for every parameter that has a gradient; the largest movement was {far / lr:.3g} times lr. "
    if far == 0:
        says = "A learning rate of 0.01 leaves the weights where one of 1e-12 leaves them: the argument lr does not reach the optimizer."
    elif far < 0.9 * lr:
        says += "With plain SGD it is lr times the gradient, which is much less."
    elif far > 1.2 * lr:
        says += "Is lr changed, or are there several updates in one step?"
    if not 0.9 * lr <= far <= 1.2 * lr:
        fail(
            "the first update is not one step of Adam:",
            expected=f"a largest movement of lr = {lr}",
            got=f"{far:.3g}",
            because=says,
        )


def test_each_step_updates_once(solution):
    lr = 1e-3
    far = movement(solution, lr, 3)
    observe("three steps in learning rates", round(far / lr))
    if not 1.5 * lr <= far <= 3.6 * lr:
        fail(
            "three steps do not move the weights as three updates would:", expected=f"a largest movement between {1.5 * lr:g} and {3.6 * lr:g} for lr = {lr}", got=f"{far:.3g}",
            because="Each step makes one update, of at most about lr for each weight: step once in each pass of the loop.",
        )  # fmt: skip


LEARN = {
    "vocab_size": 11,
    "embed_dim": 32,
    "num_heads": 2,
    "num_layers": 1,
    "block_size": 8,
    "batch_size": 8,
    "lr": 1e-2,
    "seed": 3,
}


def test_the_model_does_not_learn_to_copy(solution):
    model, _ = run(solution, **{**LEARN, "num_steps": 40})
    ids = draw_ids("ids", 16, 8, vocab_size=11)
    with torch.no_grad():
        share = float((model.eval()(ids).argmax(-1) == ids).float().mean())
    observe("copies its input", share > 0.7)
    if share > 0.7:
        fail(
            "after training the most likely next token is the token itself:", expected=f"no rule, about 1 in {LEARN['vocab_size']}, as the tokens are random", got=f"{share:.0%} of all positions",
            because="The loss compares the logits with the inputs: language_model_loss(model(inputs), targets), where targets are one token ahead.",
        )  # fmt: skip


def test_fresh_tokens_at_every_step_cannot_be_learned_by_heart(solution):
    # Uniform random tokens cannot be predicted: the best loss is ln V. A batch seen again and again can.
    _, losses = run(solution, **{**LEARN, "num_steps": 30})
    last = sum(losses[-8:]) / 8
    observe("learned by heart", last < 0.87 * math.log(11))
    if last < 0.87 * math.log(11):
        fail(
            "the loss falls below what random tokens allow:", expected=f"about ln V = {math.log(11):.2f} at the end", got=f"{last:.3f}",
            because="Fresh random tokens at every step cannot be predicted, so the model has seen them before (one batch, drawn outside of the loop), or sees the answer (no shift, no causal mask).",
        )  # fmt: skip


def test_training_lowers_the_loss_towards_ln_v(solution):
    _, losses = run(solution, **{**LEARN, "vocab_size": 40, "num_steps": 30, "lr": 3e-3})
    first, last = sum(losses[:3]) / 3, sum(losses[-5:]) / 5
    better = last < max(first, math.log(40) + 0.08) + 0.05
    observe("the loss does not rise", better)
    if not better:
        fail(
            "the loss rises in training:",
            expected=f"a mean of the last losses around ln V = {math.log(40):.2f}",
            got=f"{first:.3f} at first, {last:.3f} at the end",
            because="Gradients of earlier steps may be piling up (zero_grad missing), or the update goes uphill.",
        )


def _trained(solution, on_input=lambda ids: None, on_backward=lambda model: None, **changes):
    """Run train_gpt2 and tell of the ids that its model gets, and of each loss.backward()."""
    call, backward, model = torch.nn.Module.__call__, torch.Tensor.backward, []

    def calling(module, *args, **kwargs):
        if (
            args
            and isinstance(args[0], torch.Tensor)
            and args[0].dtype == torch.long
            and args[0].ndim == 2
            and module in (model or [module])
        ):
            model[:] = [module]
            on_input(args[0])
        return call(module, *args, **kwargs)

    def going_back(loss, *args, **kwargs):
        if model:
            on_backward(model[0])
        return backward(loss, *args, **kwargs)

    torch.nn.Module.__call__, torch.Tensor.backward = calling, going_back
    try:
        return run(solution, **changes)
    finally:
        torch.nn.Module.__call__, torch.Tensor.backward = call, backward


def test_gradients_of_earlier_steps_are_cleared(solution):
    left = []
    _trained(
        solution,
        on_backward=lambda model: left.append(
            any(p.grad is not None and bool(p.grad.any()) for p in model.parameters())
        ),
        num_steps=6,
    )
    steps = [number for number, dirty in enumerate(left, 1) if dirty]
    observe("steps that begin with old gradients", steps)
    if steps:
        fail(
            f"in step {steps[0]} backward() adds to the gradients of the step before:", expected="gradients that are None or zero before each backward()", got=f"old ones in steps {', '.join(map(str, steps))} of {len(left)}",
            because="backward() adds to what is there: call optimizer.zero_grad() before each backward().",
        )  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 5])
def test_the_batch_size_is_used(solution, batch_size):
    shapes = []
    _trained(
        solution,
        on_input=lambda ids: shapes.append(tuple(ids.shape)),
        batch_size=batch_size,
        num_steps=2,
    )
    first = shapes[0] if shapes else (batch_size, 6)
    assert_equal(
        first,
        (batch_size, 6),
        f"the shape of the model's input in training, for batch_size={batch_size} and block_size=6,",
        because="Each step draws (batch_size, block_size + 1) tokens: block_size inputs and, one further on, block_size targets.",
    )


def test_the_learning_rate_is_used(solution):
    small, large = movement(solution, 1e-4, 2), movement(solution, 1e-2, 2)
    ratio = large / small if small else math.inf
    observe("learning rate is used", 20 < ratio < 500)
    if not 20 < ratio < 500:
        fail(
            "a learning rate a hundred times larger does not move the weights a hundred times as far:",
            expected="a ratio of about 100",
            got=f"{ratio:.3g}",
            because="The argument lr has to reach the optimizer.",
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
