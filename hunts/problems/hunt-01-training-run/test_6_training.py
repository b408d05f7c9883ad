"""A training run, sixth part: what train does, read off short runs whose steps are recorded.

Other parts of the file are asked rather than known: a rate is right where it is that of learning_rate, a loss where it
is that of evaluate. Each character stands in the text once, so a token's id is its place. Shapes: B batch, T tokens.
"""

from dataclasses import dataclass, fields

import torch

from common.testing import assert_close, assert_equal, assert_identical, assert_true, fail, observe
from common.testing.recording import Step, record
from common.testing.training_runs import once

TEXT = "".join(chr(0x4E00 + i) for i in range(60))
SIZES = {
    "context": 3, "n_embd": 8, "n_head": 2, "n_layer": 1, "dropout": 0.0, "batch_size": 2, "steps": 5,
    "warmup_steps": 2, "max_lr": 0.02, "min_lr": 0.002, "eval_every": 2, "grad_clip": 1e3, "seed": 5,
}


@dataclass(frozen=True)
class Seen:
    """A record's numbers."""

    step: int
    train_loss: float
    val_loss: float
    rate: float
    grad_norm: float


@dataclass(frozen=True, eq=False)
class Run:
    """A run of train.

    Args:
        records: those that came back. told: the steps of those that on_record was given.
        updates: each step with an update, which may be fewer or more than were asked for.
        after: the weights in the end, by name. training, validation: both parts of the text, ids.
    """

    records: list[Seen]
    told: list[int]
    updates: list[Step]
    after: dict[str, torch.Tensor]
    training: torch.Tensor
    validation: torch.Tensor


def settings(solution, **changes):
    return solution.Settings(**{**SIZES, **changes})


def trained(solution, **changes):
    """A run with these settings, which checks look at and leave as it is."""
    return once(solution.train, ("hunt", *changes.items()), lambda: watched(solution, **changes))


def watched(solution, **changes):
    """Train on TEXT, and record it."""
    told = []
    given = {"text": TEXT, "settings": settings(solution, **changes), "on_record": told.append}
    (model, tokenizer, records), steps = record(solution.train, **given)
    return Run(
        [Seen(**{field.name: getattr(r, field.name) for field in fields(Seen)}) for r in records],
        [r.step for r in told],
        [step for step in steps if step.optimizer],
        {name: p.detach().clone() for name, p in model.named_parameters()},
        *solution.split(tokenizer.encode(TEXT)),
    )


def evaluated(solution, weights, part):
    """The loss of a model with these weights on a part of the text."""
    sizes = settings(solution)
    model = solution.GPT(sizes, len(TEXT))
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(weights[name])
    return solution.evaluate(model, part, sizes)


def norm_of(gradients):
    return torch.stack([g.norm() for g in gradients.values()]).norm() if gradients else torch.tensor(0.0)


# --- the records ----------------------------------------------------------------------------------


def test_there_is_a_record_at_the_start_and_after_every_eval_every_steps(solution):
    """Print the steps of the records."""
    run = trained(solution)
    assert_equal(
        [record.step for record in run.records], [0, 2, 4], "the list of the records' steps, steps=5 and eval_every=2,",
        because="There is one before the first step, and one after every eval_every steps, counted from 1.",
    )


def test_on_record_gets_each_record(solution):
    """Count the calls of on_record beside the records."""
    run = trained(solution)
    assert_equal(
        run.told, [record.step for record in run.records], "the list of steps that on_record is told of",
        because="on_record is called with each record, so that a run can be watched.",
    )


def test_a_record_shows_the_model_after_its_updates(solution):
    """Evaluate the model as it is after each update, and look for the loss of each record among them."""
    run = trained(solution, grad_clip=1.0)
    weights = [*(update.before for update in run.updates), run.after]
    losses = [evaluated(solution, each, run.validation) for each in weights]
    found = [min(range(len(losses)), key=lambda n: abs(losses[n] - record.val_loss)) for record in run.records]
    right = [record.step for record in run.records]
    assert_equal(
        found, right, f"the list of how many updates are made when the records of steps {right} come",
        because="The record of a step is made after its update, and before the next.",
    )


def still(solution):
    """A run at a rate of next to nothing, so that all of its losses are those of the model that comes back."""
    return trained(solution, max_lr=1e-12, min_lr=1e-13)


def test_the_validation_loss_is_that_of_the_validation_text(solution):
    """Evaluate the model that comes back on both parts of the text, and compare with the last record."""
    run = still(solution)
    found = torch.tensor([float(record.val_loss) for record in run.records])
    assert_close(
        found, torch.full_like(found, evaluated(solution, run.after, run.validation)),
        "the records' val_loss, at a rate of 1e-12,", because="It is evaluate's on the validation part of the text.",
    )


def test_the_training_loss_is_that_of_a_part_of_the_training_text(solution):
    """Evaluate the model that comes back on the beginning of the training text, and compare with the last record."""
    run, found = still(solution), []
    n = len(run.validation)
    for start in range(max(1, len(run.training) - n + 1)):
        found.append(evaluated(solution, run.after, run.training[start : start + n]))
    given = float(run.records[-1].train_loss)
    observe("train_loss", torch.tensor(given))
    near = min(found, key=lambda loss: abs(loss - given))
    if abs(near - given) > 1e-5:
        fail(
            f"train_loss is the loss of no {n} tokens of the training text, at a rate of 1e-12:",
            expected=f"{near:.6g}, the nearest", got=f"{given:.6g}",
            because="It is evaluate's on a part of the training text that is as long as the validation text, so that "
            "both losses are means over as much.",
        )


def test_a_record_holds_the_rate_of_its_step(solution):
    """Print the records' rates beside learning_rate(step)."""
    rated, sizes = [record for record in trained(solution).records if record.step], settings(solution)
    assert_close(
        torch.tensor([float(record.rate) for record in rated]),
        torch.tensor([float(solution.learning_rate(record.step, sizes)) for record in rated]),
        "the records' rates", because="The rate of a record is learning_rate at its step.", atol=1e-7,
    )


def test_a_record_holds_the_norm_before_it_was_clipped(solution):
    """Print the records' norms with a grad_clip of next to nothing."""
    run = trained(solution, grad_clip=1e-3)
    found = [record for record in run.records if record.step]
    right = [norm_of(run.updates[record.step - 1].left) for record in found]
    assert_close(
        torch.tensor([float(record.grad_norm) for record in found]), torch.stack(right),
        "the records' grad_norm, grad_clip=0.001,",
        because="It is the norm of all gradients together as backward() left them, before they were clipped: this is "
        "what tells whether a run is calm.", rtol=1e-4,
    )


# --- the batches ----------------------------------------------------------------------------------


def test_there_are_as_many_updates_as_steps(solution):
    """Count the calls of optimizer.step()."""
    assert_equal(
        len(trained(solution).updates), 5, "the number of updates, steps=5,", because="Each step makes one update."
    )


def test_the_model_trains_on_the_training_part_alone(solution):
    """Note all tokens that the model is trained on, and look for those of the validation text."""
    run = trained(solution)
    seen = torch.cat([update.ids.flatten() for update in run.updates]).unique()
    observe("ids that the model is trained on", seen)
    strangers = sorted(set(seen.tolist()) - set(run.training.tolist()))
    assert_equal(
        strangers, [], "the list of ids that the model is trained on and that are not in the training part",
        because="What is validated on is kept apart: it tells how the model does on a text that it has not seen.",
    )


def test_each_batch_has_the_sizes_of_the_settings(solution):
    """Print the shape of what the model is given in each step."""
    run = trained(solution)
    generator = torch.Generator().manual_seed(0)
    rows, length = solution.draw_batch(run.training, 2, 3, generator)[0].shape
    assert_equal(
        sorted({tuple(update.ids.shape) for update in run.updates}), [(rows, length)],
        "the list of shapes of the batches, batch_size=2 and context=3,",
        because="A step reads batch_size windows of context tokens.",
    )


def test_each_row_of_a_batch_is_a_piece_of_the_text(solution):
    """Decode a row of a batch and read it."""
    torn = [row.tolist() for update in trained(solution).updates for row in update.ids if (row.diff() != 1).any()]
    assert_equal(
        torn, [], "the list of rows whose tokens do not follow each other in the text",
        because="A row is a window of the text: each token is the one that stands after the last.",
    )


def test_each_step_draws_a_batch_of_its_own(solution):
    """Print each step's batch."""
    found = torch.stack([update.ids.flatten() for update in trained(solution).updates])
    observe("the batches", found)
    assert_true(
        len({tuple(batch) for batch in found.tolist()}) > 1, "every step trains on the same batch",
        because="Each step draws anew, from a generator that goes on from step to step.",
    )


def test_dropout_is_on_in_training(solution):
    """Print model.training in each step."""
    modes = [update.training for update in trained(solution, dropout=0.5).updates]
    observe("modes of the steps", [str(mode) for mode in modes])
    assert_true(
        all(modes), "the model is in eval mode while it trains",
        because="Dropout belongs to training: the model is in train mode in every step, also after an evaluation.",
    )


# --- the updates ----------------------------------------------------------------------------------


def test_gradients_of_earlier_steps_are_cleared(solution):
    """Print p.grad before each backward()."""
    stale = [i for i, update in enumerate(trained(solution).updates, 1) if update.found.keys() & update.stale]
    assert_equal(
        stale, [], "the list of steps in which backward() adds to gradients that are there already",
        because="Each update follows the gradient of its own batch: what the last one left is cleared before "
        "backward().",
    )


def test_the_optimizer_finds_what_backward_left(solution):
    """Print the gradients' norm right before optimizer.step(), with a grad_clip that is out of reach."""
    updates = trained(solution).updates
    assert_close(
        torch.stack([norm_of(update.found) for update in updates]),
        torch.stack([norm_of({p: g for p, g in update.left.items() if p in update.found}) for update in updates]),
        "the norms of the gradients that the optimizer finds, grad_clip=1000,",
        because="Gradients below grad_clip are left as they are, and nobody clears them between backward() and step().",
        rtol=1e-4,
    )


def test_gradients_are_clipped_before_the_update(solution):
    """Print the gradients' norm right before optimizer.step(), with a small grad_clip."""
    norms = torch.stack([norm_of(update.found) for update in trained(solution, grad_clip=1e-3).updates])
    observe("norms that the optimizer finds", norms)
    assert_true(
        bool((norms < 1.001e-3).all()), f"the optimizer finds gradients of norm {norms.max():.3g}, grad_clip=0.001,",
        because="Between backward() and the update the norm of all gradients together is brought down to grad_clip.",
    )


def test_each_update_has_the_rate_of_its_step(solution):
    """Print the rates of all groups at each optimizer.step(), beside learning_rate(step)."""
    run = trained(solution)
    lowest = torch.tensor([min(update.rates) for update in run.updates])
    highest = torch.tensor([max(update.rates) for update in run.updates])
    right = [float(solution.learning_rate(step, settings(solution))) for step in range(1, len(run.updates) + 1)]
    for what, found in (("lowest", lowest), ("highest", highest)):
        assert_close(
            found, torch.tensor(right), f"the {what} rate of the optimizer's groups at each update",
            because="Step n updates all parameters at the rate learning_rate(n, settings); the first step is 1.",
            atol=1e-7,
        )


def test_one_optimizer_makes_all_updates(solution):
    """Print id(optimizer) in each step, or how many steps its state has counted."""
    count = len({update.optimizer for update in trained(solution).updates})
    assert_equal(
        count, 1, "the number of optimizers that make the updates",
        because="AdamW goes by averages over past gradients, which a new one has not seen.",
    )


# --- the seed -------------------------------------------------------------------------------------


def weights(run):
    return torch.cat([p.flatten() for p in run.after.values()])


def test_the_same_settings_give_the_same_run(solution):
    """Train twice, with another torch.manual_seed before each, and compare the models."""
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        runs.append(watched(solution, dropout=0.5, steps=3))
    assert_identical(
        weights(runs[1]), weights(runs[0]), "the weights after a second training with the same settings",
        because="torch is seeded with settings.seed before anything is drawn: weights, batches and dropout follow.",
    )


def test_another_seed_gives_another_model(solution):
    """Train with two seeds and compare the weights that the models start with."""
    first, second = (weights(trained(solution, max_lr=1e-12, min_lr=1e-13, seed=seed)) for seed in (1, 2))
    same = torch.allclose(first, second, atol=1e-6)
    assert_true(
        not same, "models of the seeds 1 and 2 start with the same weights",
        because="It is settings.seed that torch is seeded with.",
    )
