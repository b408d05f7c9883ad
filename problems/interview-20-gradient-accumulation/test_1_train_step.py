"""Interview 20, first part: what train_step promises, from cause to consequence.

Gradients are read off the update, (before - after) / lr. Shapes: B texts, T tokens, V vocab_size.
"""

from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_input_untouched,
    assert_raises,
    assert_true,
    draw_ids,
    fill,
    observe,
)

B, T, C, V = 5, 3, 6, 11
AXES = {"V": V}
LR = 0.5


class OutOfMemory(RuntimeError):
    """What a model may say in the middle of a step."""


class Guesser(nn.Module):
    """A small model of the next token, which notes each call with its mode, and each backward() that arrives."""

    def __init__(self, *, idle=False):
        super().__init__()
        self.wte, self.head = nn.Embedding(V, C), nn.Linear(C, V)
        self.idle = nn.Linear(1, 1) if idle else None  # takes no part in the logits
        self.notes, self.modes, self.fails_at = [], [], 0
        fill(self)

    def forward(self, ids):
        self.notes.append(ids.tolist())
        self.modes.append("train" if self.training else "eval")
        if len(self.modes) == self.fails_at:
            raise OutOfMemory("out of memory")
        logits = self.head(torch.tanh(self.wte(ids)))
        if logits.requires_grad:
            logits.register_hook(lambda _: self.notes.append("backward"))
        return logits

    def now(self):
        """A copy of the parameters, by name."""
        return {name: p.detach().clone() for name, p in self.named_parameters()}


def text(b=B, t=T, *, without=(), salt=""):
    """Inputs and targets; row 0 has fewer targets that count than the others, and the rows in `without` have none."""
    inputs, targets = (draw_ids(f"{name}{salt}", B=b, T=t, vocab_size=V) for name in ("inputs", "targets"))
    targets[0, 1:] = -100
    for row in without:
        targets[row] = -100
    return inputs, targets


def plain_text(b=B):
    """Inputs and targets that all count."""
    inputs, _ = text(b)
    return inputs, draw_ids("all targets", B=b, T=T, vocab_size=V)


def right_step(model, inputs, targets, lr=LR, max_norm=None):
    """The loss and the gradients, by name, of the whole batch at once; the model makes the step."""
    model.zero_grad()
    loss = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    loss.backward()
    if max_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    with torch.no_grad():
        for p in model.parameters():
            if p.grad is not None:
                p -= lr * p.grad
    return loss.item(), gradients


def assert_gradients_are(model, before, right, how, because):
    """Check the update that the model has made against these gradients."""
    found = {name: (before[name] - p) / LR for name, p in model.now().items()}
    observe(f"gradients {how}", [found[name] for name in right])
    for name, gradient in right.items():
        assert_close(found[name], gradient, f"the gradient of {name}, read off the update, {how},", because=because)


def assert_nothing_has_changed(model, before):
    for name, p in model.now().items():
        assert_identical(p, before[name], f"{name} after a refusal", because="What is refused changes nothing.")


def assert_steps_as_whole(solution, batch, size, how, because, **options):
    """Check the update of train_step against that of the whole batch at once."""
    model, twin = Guesser(), Guesser()
    before = model.now()
    solution.train_step(model, *batch, size, LR, **options)
    _, right = right_step(twin, *batch, **options)
    assert_gradients_are(model, before, right, how, because)


# --- what others stand on ------------------------------------------------------------------------


def test_train_step_returns_a_number(solution):
    assert_equal(
        type(solution.train_step(Guesser(), *text(), 2, LR)).__name__, "float", "the type of what train_step returns",
        because="The loss is a Python float, what loss.item() gives: a tensor would hold on to its graph.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [0, -2])
def test_a_micro_batch_without_rows_is_refused(solution, size):
    model = Guesser()
    before = model.now()
    with assert_raises(
        ValueError, f"train_step with micro_batch_size={size}", naming=[size],
        because="A micro-batch has at least one row; the message names the value.",
    ):  # fmt: skip
        solution.train_step(model, *text(), size, LR)
    assert_nothing_has_changed(model, before)


def test_a_batch_in_which_nothing_counts_is_refused(solution):
    model = Guesser()
    before = model.now()
    with assert_raises(
        ValueError, "train_step where all targets are -100",
        because="A mean over nothing is no number: 0 / 0. The step is refused before anything changes.",
    ):  # fmt: skip
        solution.train_step(model, *text(without=range(B)), 2, LR)
    assert_nothing_has_changed(model, before)


def test_train_step_leaves_inputs_and_targets_alone(solution):
    step = torch.enable_grad()(lambda *batch: solution.train_step(Guesser(), *batch, 2, LR))
    assert_input_untouched(step, *text(), what="train_step")


def test_gradients_are_on_after_a_step(solution):
    solution.train_step(Guesser(), *text(), 2, LR)
    assert_true(
        torch.is_grad_enabled(), "train_step leaves gradients switched off",
        because="torch.no_grad() as a decorator or in a with statement ends with it.",
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_mode_of_the_model_stays(solution, mode):
    model = Guesser().train(mode == "train")
    solution.train_step(model, *text(), 2, LR)
    seen = sorted({*model.modes, "train" if model.training else "eval"})
    assert_equal(
        seen, [mode], f"the list of modes that a model in {mode} mode has in a step and after it",
        because="Whether dropout is on is the caller's choice: train_step calls neither train() nor eval().",
    )  # fmt: skip


# --- micro-batches -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9])
def test_the_model_is_given_micro_batches_of_rows(solution, size):
    model, (inputs, targets) = Guesser(), plain_text()
    solution.train_step(model, inputs, targets, size, LR)
    given = [note for note in model.notes if note != "backward"]
    assert_equal(
        [len(rows) for rows in given], [len(rows) for rows in inputs.split(size)],
        f"the list of how many rows the model is given, call by call, of {B} rows with micro_batch_size={size},",
        because="Each micro-batch has micro_batch_size rows, the last one what is left, and the model sees it once.",
    )  # fmt: skip
    assert_equal(
        [row for rows in given for row in rows], inputs.tolist(), "the list of rows that the model is given",
        because="All rows of inputs, whole and in their order.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 2])
def test_backward_comes_before_the_next_micro_batch(solution, size):
    model, batch = Guesser(), plain_text(4)
    solution.train_step(model, *batch, size, LR)
    order = ["backward" if note == "backward" else "forward" for note in model.notes]
    assert_equal(
        order, ["forward", "backward"] * (4 // size),
        f"the list of passes through the model, 4 rows with micro_batch_size={size},",
        because="A graph holds all activations of its micro-batch until backward() has gone through it. Graphs that "
        "wait for one another, or are added up first, take the memory of the whole batch.",
    )  # fmt: skip


# --- the gradient of the whole batch -------------------------------------------------------------


def test_a_step_moves_the_models_own_parameters(solution):
    model = Guesser()
    views = {name: p.detach() for name, p in model.named_parameters()}  # the same memory
    before = model.now()
    solution.train_step(model, *text(), 2, LR)
    still = [name for name in ("wte.weight", "head.weight", "head.bias") if torch.equal(views[name], before[name])]
    assert_equal(
        still, [], "the list of parameters that a step leaves where they were",
        because="The update is written into the parameters, p -= ..., where everybody sees it who holds them.",
    )  # fmt: skip
    kinds = [(p.requires_grad, p.is_leaf) for p in model.parameters()]
    assert_equal(
        kinds, [(True, True)] * len(kinds), "the list of requires_grad and is_leaf of the parameters after a step",
        because="The update runs under torch.no_grad(), and the parameters stay leaves that learn.",
    )  # fmt: skip


def test_a_single_micro_batch_is_a_plain_step(solution):
    assert_steps_as_whole(
        solution, plain_text(), B, "of a batch in one piece",
        "All rows are in one micro-batch and all targets count, so it is the gradient of the mean cross-entropy, and p "
        "moves by -lr times it.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 2])
def test_equal_micro_batches_add_up(solution, size):
    assert_steps_as_whole(
        solution, plain_text(4), size, f"of 4 rows with micro_batch_size={size}",
        "backward() adds to p.grad, and each micro-batch brings its share of the mean over the whole batch: the sum of "
        "its losses, divided by the number of targets in the batch.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [2, 3, 4])
def test_a_smaller_last_micro_batch_has_a_smaller_share(solution, size):
    assert_steps_as_whole(
        solution, plain_text(), size, f"of 5 rows with micro_batch_size={size}",
        "Every token counts as much as any other: a micro-batch weighs as much as it has targets, so the mean of means "
        "is not the mean.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 5])
def test_only_targets_that_count_are_counted(solution, size):
    assert_steps_as_whole(
        solution, text(), size, f"where some targets are -100, micro_batch_size={size}",
        "The mean is over the targets that count, in the whole batch: those of -100 are in neither the sum nor the "
        "number that it is divided by.",
    )  # fmt: skip


@pytest.mark.parametrize("without", [(0, 1), (2, 3), (4,)], ids=["first", "middle", "last"])
def test_a_micro_batch_in_which_nothing_counts_adds_nothing(solution, without):
    assert_steps_as_whole(
        solution, text(without=without), 2, f"where rows {[*without]}, a micro-batch, have no target that counts",
        "Its share of the sum is 0. The mean over no target at all is 0 / 0, NaN, whatever it is multiplied by.",
    )  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("without", [(), (2, 3)], ids=["each has targets", "one has none"])
def test_the_loss_is_that_of_the_whole_batch(solution, size, without):
    batches = [text(without=without, salt=f" {i}") for i in range(5)]
    right = [right_step(Guesser(), *batch)[0] for batch in batches]
    found = [float(solution.train_step(Guesser(), *batch, size, LR)) for batch in batches]
    assert_close(
        torch.tensor(found), torch.tensor(right), f"the loss of five batches, micro_batch_size={size},",
        because="train_step returns the mean cross-entropy over all targets of the batch that count, with the "
        "parameters before the update, into however many micro-batches it is cut.",
    )  # fmt: skip


@pytest.mark.parametrize("lr", [0.1, 2.0])
def test_the_rate_is_the_one_that_is_given(solution, lr):
    model, twin = Guesser(), Guesser()
    before = model.now()
    solution.train_step(model, *text(), 2, lr)
    right_step(twin, *text(), lr=lr)
    for name, p in twin.now().items():
        assert_close(
            model.now()[name] - before[name], p - before[name], f"how far {name} moves with lr={lr}",
            because="One update of plain gradient descent: p moves by -lr times the gradient of the whole batch.",
        )  # fmt: skip


# --- clipping ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 5])
def test_clipping_comes_after_the_sum(solution, size):
    assert_steps_as_whole(
        solution, text(), size, f"with max_norm=0.05 and micro_batch_size={size}",
        "One norm is taken, over the entries of all parameters' gradients together, when all micro-batches have been "
        "added up; if it is above max_norm, all are scaled down by one factor, and the norm is max_norm.",
        max_norm=0.05,
    )  # fmt: skip


def test_small_gradients_are_not_clipped(solution):
    assert_steps_as_whole(
        solution, text(), 2, "with max_norm=1000",
        "The norm is below max_norm, so the gradients stay as they are: clipping never scales up.", max_norm=1e3,
    )  # fmt: skip


# --- what was there before -----------------------------------------------------------------------


def test_a_second_step_begins_afresh(solution):
    model, twin = Guesser(), Guesser()
    for t in (T, T + 2):
        batch = text(t=t, salt=str(t))
        before = model.now()
        solution.train_step(model, *batch, 2, LR)
        _, right = right_step(twin, *batch)
    assert_gradients_are(
        model, before, right, "in a second step",
        "It follows from this batch alone: what the first step left in p.grad is cleared, or backward() adds to it.",
    )


def test_gradients_from_before_do_not_count(solution):
    model, twin, batch = Guesser(idle=True), Guesser(idle=True), text()
    before = model.now()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    solution.train_step(model, *batch, 2, LR)
    _, right = right_step(twin, *batch)
    assert_gradients_are(
        model, before, right, "of a model whose p.grad held ones",
        "Whatever stands in p.grad before the call is cleared first, also that of parameters that take no part.",
    )
    assert_close(
        model.now()["idle.weight"], before["idle.weight"], "idle.weight of a model whose p.grad held ones",
        because="It takes no part in the loss, so this step has no gradient for it: what p.grad held is cleared first.",
    )  # fmt: skip


def test_a_step_that_failed_halfway_leaves_nothing_behind(solution):
    model, twin, batch = Guesser(), Guesser(), text()
    before, model.fails_at = model.now(), 2
    with suppress(OutOfMemory):
        solution.train_step(model, *batch, 3, LR)
    solution.train_step(model, *batch, 1, LR)
    _, right = right_step(twin, *batch)
    assert_gradients_are(
        model, before, right, "after a step that ran out of memory in its second micro-batch",
        "That step left the gradients of its first micro-batch in p.grad. A step clears them before it begins; "
        "clearing at the end only helps where the end is reached.",
    )


def test_parameters_that_take_no_part_stay(solution):
    model, twin, batch = Guesser(idle=True), Guesser(idle=True), text()
    before = model.now()
    solution.train_step(model, *batch, 2, LR, max_norm=0.05)
    _, right = right_step(twin, *batch, max_norm=0.05)
    assert_identical(
        model.now()["idle.weight"], before["idle.weight"], "idle.weight, which takes no part, after a step",
        because="Its p.grad is None, or zero, and it stays where it is.",
    )  # fmt: skip
    assert_gradients_are(
        model, before, right, "of a model with a parameter that takes no part, max_norm=0.05",
        "Parameters whose p.grad is None have no part in the norm and in the update; the others go on as ever.",
    )


def test_frozen_parameters_stay(solution):
    model, twin, batch = Guesser(), Guesser(), text()
    before = model.now()
    for m in (model, twin):
        m.wte.weight.requires_grad_(False)
    solution.train_step(model, *batch, 2, LR, max_norm=0.05)
    _, right = right_step(twin, *batch, max_norm=0.05)
    assert_identical(
        model.now()["wte.weight"], before["wte.weight"], "wte.weight, which is frozen, after a step",
        because="A parameter without a gradient stays where it is.",
    )  # fmt: skip
    assert_gradients_are(
        model, before, right, "of a model with a frozen parameter, max_norm=0.05",
        "Parameters whose p.grad is None have no part in the norm and in the update; the others go on as ever.",
    )
