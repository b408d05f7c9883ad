"""Problem 16, third part: how pretrain trains, from cause to consequence.

The model is so small that its gradient and each of its updates can be worked out beside it.
Shapes: B batch, T tokens, V vocab_size.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, pi

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from common.testing import assert_close, assert_equal, assert_true, draw, observe
from common.testing.bigram import Bigram, V, batch, taught

AXES = {"V": V}
# A rate that stays as it is, and no records.
SETTINGS = {
    "epochs": 1, "max_lr": 0.01, "min_lr": 0.01, "warmup_steps": 0, "weight_decay": 0.0,
    "eval_every": 99, "eval_batches": 1, "on_eval": lambda *_: None,
}


def training():
    """Batches of 6, 6 and 4 tokens, each of another shape."""
    return [batch("train 0", 2, 3), batch("train 1", 3, 2), batch("train 2", 2, 2)]


def validation():
    return [batch("val 0", 2, 4), batch("val 1", 1, 4)]


def train(solution, model, batches, **changes):
    """pretrain on these batches, with a few changes to the settings."""
    return solution.pretrain(model, batches, validation(), **{**SETTINGS, **changes})


# --- what is learned from ------------------------------------------------------------------------


def learned_from(model, batches):
    """The batches that backward() came back from, in order: "0" and "1" of training, "val", or "?"."""
    known = [(str(i), ids) for i, (ids, _) in enumerate(batches)] + [("val", ids) for ids, _ in validation()]
    return [next((k for k, ids in known if torch.equal(ids, c.ids)), "?") for c in model.learned]


def test_the_model_learns_at_all(solution):
    model = taught()
    train(solution, model, training()[:1])
    assert_true(
        bool(model.learned), "no backward() ever comes back to the model",
        because="For each batch the model that was given is called, and loss.backward() on the loss of its logits.",
    )


def test_validation_batches_are_never_learned_from(solution):
    model = taught()
    train(solution, model, training()[:1])
    assert_true(
        "val" not in learned_from(model, training()), "backward() is called on a batch of val_loader",
        because="The model learns from train_loader; validation batches are those that it has never learned from.",
    )


def test_every_batch_is_learned_from_once_in_each_epoch(solution):
    model = taught()
    train(solution, model, training(), epochs=2)
    assert_equal(
        " ".join(learned_from(model, training())), "0 1 2 0 1 2",
        "the list of batches that are learned from, epochs=2 of batches 0, 1 and 2,",
        because="In each epoch every batch of train_loader is learned from once, whole and in the loader's order. A "
        "question mark is a batch that no loader gave.",
    )


def test_the_model_learns_in_train_mode(solution):
    model = taught().eval()
    train(solution, model, training()[:2], eval_every=1)
    modes = ["train" if call.training else "eval" for call in model.learned]
    assert_equal(
        modes, ["train"] * len(modes), "the list of modes in which a model that came in eval mode is trained",
        because="Dropout belongs to training: pretrain switches to train mode, and no evaluation may end that.",
    )


# --- one step for each batch ---------------------------------------------------------------------


@dataclass(eq=False)
class Step:
    """A step of one of torch's optimizers: which, after how many batches, and the gradients that it finds."""

    optimizer: torch.optim.Optimizer
    after: int
    found: dict  # by name, of those parameters that it holds
    left: dict  # the model's parameters after it


@contextmanager
def noting_steps(model):
    """The steps made in the block; one who writes an optimizer of their own makes none that is seen here."""
    steps = []

    def note(optimizer, *_):
        now = model.now()
        again = steps and steps[-1].optimizer is optimizer and steps[-1].after == len(model.learned)
        if again and all(torch.equal(now[name], p) for name, p in steps[-1].left.items()):
            return  # of the step of a subclass, which has AdamW's own in it, torch tells twice
        # The step has left the gradients as they were, and a closure may have made them within it.
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        mine = {name: p for name, p in model.named_parameters() if id(p) in held}
        grads = {name: torch.zeros_like(p) if p.grad is None else p.grad.detach().clone() for name, p in mine.items()}
        steps.append(Step(optimizer, len(model.learned), grads, now))

    handle = register_optimizer_step_post_hook(note)
    try:
        yield steps
    finally:
        handle.remove()


def test_each_batch_is_followed_by_one_step_of_the_optimizer(solution):
    model = taught()
    with noting_steps(model) as steps:
        train(solution, model, training()[:2], epochs=2)
    still = torch.equal(model.states()[0]["wte.weight"], model.now()["wte.weight"])
    if steps or still:
        assert_equal(
            [step.after for step in steps], [1, 2, 3, 4],
            "the list of how many batches had gone backward() when optimizer.step() was called, 4 batches,",
            because="Each batch makes one update: its loss.backward(), and then one optimizer.step().",
        )


def test_the_optimizer_holds_the_models_own_parameters(solution):
    model = taught()
    with noting_steps(model) as steps:
        train(solution, model, training()[:2])
    missing = sorted({name for step in steps for name in model.now() if name not in step.found})
    assert_equal(
        missing, [], "the list of the model's parameters that the optimizer does not hold",
        because="It is made of optimizer_groups(model, ...) of the model that pretrain was given.",
    )


def test_each_step_finds_a_gradient(solution):
    model = taught()
    with noting_steps(model) as steps:
        train(solution, model, training()[:2])
    blind = [number for number, step in enumerate(steps, 1) if not any(bool(g.any()) for g in step.found.values())]
    assert_equal(
        blind, [], "the list of updates in which optimizer.step() finds no gradient",
        because="step() uses what backward() has left in p.grad of the parameters that it holds: first backward(), "
        "then step(), and no zero_grad() between the two.",
    )


def test_each_batch_moves_the_weights(solution):
    model = taught()
    train(solution, model, training()[:2])
    tables = [state["wte.weight"] for state in model.states()]
    still = [number for number in range(1, len(tables)) if torch.equal(tables[number - 1], tables[number])]
    assert_equal(
        still, [], "the list of updates that leave wte.weight as it is, at a rate of 0.01,",
        because="Each batch makes one update of the model that was given.",
    )


def gradients(solution, model, batches, **changes):
    """Update by update: its number, what the optimizer finds, and what the batch by itself gives, both by name."""
    with noting_steps(model) as steps:
        train(solution, model, batches, **changes)
    for number, (step, state) in enumerate(zip(steps, model.states()[:-1], strict=False)):
        if step.found.keys() == state.keys():
            yield number + 1, step.found, model.gradient(state, batches[number % len(batches)])


def norm_of(gradients):
    """The norm of all of them together."""
    return torch.cat([g.flatten() for g in gradients.values()]).norm()


def assert_found(found, right, number, how, because):
    """Check the gradients that step `number` finds."""
    observe(f"gradients in step {number}", [found[name] for name in right])
    for name, gradient in right.items():
        assert_close(found[name], gradient, f"the gradient of {name} that step {number} finds {how},", because=because)


@pytest.mark.parametrize("one", [0, 1, 2])
def test_the_first_step_finds_the_gradient_of_its_batch(solution, one):
    batches = training()[one : one + 1]
    for number, found, right in gradients(solution, taught(gain=20.0), batches, grad_clip=None):
        assert_found(
            found, right, number, f"for a batch of {tuple(batches[0][0].shape)} with grad_clip=None",
            "It is the gradient of problem 12's loss of model(inputs) and targets over all positions, as it is.",
        )


def test_no_step_finds_anything_of_an_earlier_batch(solution):
    for number, found, right in gradients(solution, taught(20.0), training()[:2], grad_clip=None, epochs=2,
    eval_every=1):
        assert_found(
            found, right, number, "with grad_clip=None",
            "backward() adds to what is in p.grad: what an earlier batch or an evaluation left there is cleared first, "
            "so that the gradient is that of this batch alone.",
        )


@pytest.mark.parametrize("changes", [{"grad_clip": 0.5}, {"grad_clip": 3.0}, {}], ids=["0.5", "3.0", "default"])
def test_large_gradients_are_clipped_to_the_norm(solution, changes):
    limit = changes.get("grad_clip", 1.0)
    for number, found, right in gradients(solution, taught(gain=20.0), training()[:1], **changes):
        factor = (limit / norm_of(right)).clamp(max=1.0)
        assert_found(
            found, {name: factor * gradient for name, gradient in right.items()}, number,
            f"where the norm of all, {norm_of(right):.1f}, is above grad_clip={limit}",
            "Between backward() and step() the norm of all gradients together is brought down to grad_clip, 1.0 by "
            "default: all are multiplied by the same number, so the direction stays.",
        )


def test_small_gradients_are_not_touched_by_clipping(solution):
    for number, found, right in gradients(solution, taught(), training()[:1], grad_clip=50.0):
        assert_found(
            found, right, number, f"where the norm of all, {norm_of(right):.2f}, is below grad_clip=50",
            "Clipping only shortens: a gradient whose norm is below the limit stays as it is.",
        )


def test_the_updates_are_those_of_adamw_with_the_betas_of_gpt3(solution):
    model, batches = taught(gain=20.0), training()
    train(solution, model, batches, grad_clip=None)
    states = model.states()
    own = {name: torch.nn.Parameter(start.clone()) for name, start in states[0].items()}
    adamw = torch.optim.AdamW(own.values(), lr=0.01, betas=(0.9, 0.95), weight_decay=0.0)
    for state, one in zip(states, batches, strict=False):
        for name, gradient in model.gradient(state, one).items():
            own[name].grad = gradient
        adamw.step()
    assert_close(
        model.now()["wte.weight"], own["wte.weight"].detach(), "wte.weight after three updates at a rate of 0.01",
        because="The updates are AdamW's with betas (0.9, 0.95). Its own defaults, (0.9, 0.999), give the same first "
        "update and others from the second on.",
    )


def test_one_optimizer_makes_all_steps(solution):
    model = taught()
    with noting_steps(model) as steps:
        train(solution, model, training()[:2], epochs=2)
    assert_true(
        len({id(step.optimizer) for step in steps}) < 2, "not all steps are made by the same optimizer",
        because="AdamW remembers averages of past gradients, which a new one has lost: make it once, before all.",
    )


def test_clipping_to_almost_nothing_stops_adamw(solution):
    # Whoever has written it: next to AdamW's eps a gradient of 1e-20 counts for nothing.
    model = taught()
    train(solution, model, training()[:2], grad_clip=1e-20)
    far = float((model.now()["wte.weight"] - model.states()[0]["wte.weight"]).abs().max())
    assert_true(
        far < 1e-3, f"with grad_clip=1e-20 two updates at a rate of 0.01 still move a weight by {far:.2g}",
        because="AdamW divides a gradient by its size plus 1e-8, next to which 1e-20 is nothing. Gradients that "
        "are not clipped before the update still move it, and so does an update that is not AdamW's.",
    )


# --- the learning rate and the weight decay ------------------------------------------------------

HIGH, LOW = 2e-4, 2e-5


def schedule(step, warmup, total):
    """The contract's formula, from 0 to HIGH and down to LOW."""
    if step < warmup:
        return HIGH * step / warmup
    share = min(1.0, (step - warmup) / (total - warmup))
    return LOW + 0.5 * (1 + cos(pi * share)) * (HIGH - LOW)


def moves(solution, epochs, warmup):
    """How far each update of epochs of 3 batches moves wte and ln_f.bias, in units of HIGH."""
    # One token, always followed by the same: the gradient hardly changes, and AdamW moves each weight by the rate.
    ids = torch.zeros_like(training()[0][0])
    model = Bigram()
    rates = {"max_lr": HIGH, "min_lr": LOW, "warmup_steps": warmup}
    train(solution, model, [(ids, ids)] * 3, epochs=epochs, grad_clip=None, **rates)
    for name in ("wte.weight", "ln_f.bias"):
        values = torch.stack([state[name].view(-1)[0] for state in model.states()])
        yield name, values.diff().abs().cpu() / HIGH


def test_the_rate_of_an_update_is_set_anew(solution):
    for name, found in moves(solution, 2, 3):
        observe(f"moves of {name}", found)
        equal = bool((found - found[0]).abs().max() < 0.05)
        assert_true(
            not equal, f"all updates move {name} equally far, by {float(found[0]):.3g} times max_lr",
            because="AdamW moves a weight whose gradient stays the same by the rate of its group, and that of "
            f'{name} has the same rate in all updates: the rate goes into each of the groups, group["lr"] = ..., anew '
            "before each update.",
        )


def test_all_groups_have_the_same_rate(solution):
    (_, table), (_, bias) = moves(solution, 2, 3)
    assert_close(
        bias, table, "how far the updates move ln_f.bias, compared with wte.weight,", atol=0.004,
        because="Each group in optimizer.param_groups has an lr of its own, and all of them get the same rate.",
    )


@pytest.mark.parametrize(("epochs", "warmup"), [(1, 2), (2, 3), (2, 0)])
def test_each_update_has_the_rate_of_its_step(solution, epochs, warmup):
    total = 3 * epochs
    right = torch.tensor([schedule(step, warmup, total) / HIGH for step in range(1, total + 1)])
    for name, found in moves(solution, epochs, warmup):
        assert_close(
            found, right, atol=0.004,
            what=f"how far the {total} updates move {name}, in units of max_lr, warmup_steps={warmup},",
            because="AdamW moves a weight whose gradient stays the same by the rate: learning_rate(step, max_lr, "
            "min_lr, warmup_steps, total_steps), where step counts the updates of all epochs from 1 and total_steps is "
            "epochs * len(train_loader).",
        )


def decayed(solution):
    """The parameters before and after 2 updates with a weight decay of 5, in which the last token never occurs."""
    model = Bigram()
    with torch.no_grad():
        model.wte.weight[-1] = draw("decays", V).abs() + 1
    before = model.now()
    train(solution, model, [batch(f"train {i}", 2, 3, vocab_size=V - 1) for i in range(2)], weight_decay=5.0)
    return before, model.now()


def test_matrices_decay(solution):
    before, after = decayed(solution)
    assert_close(
        after["wte.weight"][-1], 0.95**2 * before["wte.weight"][-1],
        "a row of wte.weight without a gradient, after 2 updates with rate 0.01 and weight_decay=5,",
        because="AdamW multiplies each weight of a matrix by 1 - rate * weight_decay in each update.", atol=1e-4,
    )


def test_norms_and_biases_do_not_decay(solution):
    before, after = decayed(solution)
    assert_close(
        after["ln_f.weight"], before["ln_f.weight"],
        "a norm's weight without a gradient, after 2 updates with weight_decay=5,",
        because="AdamW gets the groups of optimizer_groups, in which norms and biases have no decay.",
    )
