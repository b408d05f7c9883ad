"""Problem 16, fourth part: what pretrain reports and refuses, from cause to consequence.

Shapes: B batch, T tokens, V vocab_size.
"""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from common import problem
from common.testing import (
    assert_close,
    assert_equal,
    assert_identical,
    assert_raises,
    assert_true,
    draw,
    draw_ids,
    fail,
    observe,
    tiny,
)
from common.testing.bigram import V, assert_data_moves, batch, mean_loss, on_the_cpu, taught
from common.testing.calls import OUTLIVES

AXES = {"V": V}
KEYS = ("epoch", "step", "tokens_seen", "train_loss", "val_loss")
SETTINGS = {
    "epochs": 1, "max_lr": 0.1, "min_lr": 0.1, "warmup_steps": 0, "weight_decay": 0.0,
    "eval_every": 1, "eval_batches": 1,
}


def training():
    """Batches of 6, 6 and 4 tokens."""
    return [batch("train 0", 2, 3), batch("train 1", 3, 2), batch("train 2", 2, 2)]


def validation():
    """Batches of 8, 4 and 3 tokens."""
    return [batch("val 0", 2, 4), batch("val 1", 1, 4), batch("val 2", 3, 1)]


def train(solution, batches, model=None, val=None, **changes):
    """pretrain on these batches, with a few changes to the settings; the history."""
    return solution.pretrain(model or taught(), batches, val or validation(), **{**SETTINGS, **changes})


# --- the form ------------------------------------------------------------------------------------


def test_on_eval_may_be_left_out(solution):
    try:
        train(solution, training()[:1])
    except Exception as error:
        train(solution, training()[:1], on_eval=lambda record: None)  # fails as well if on_eval has no part in it
        observe("without on_eval", type(error).__name__)
        fail(
            "pretrain works with an on_eval and fails without:",
            expected="a history", got=f"{type(error).__name__}: {error}",
            because="on_eval is None by default: call it only if it is not None.",
        )


def test_the_history_is_a_list_of_records(solution):
    history = train(solution, training()[:1])
    kinds = [type(each).__name__ for each in history] if isinstance(history, list) else type(history).__name__
    observe("pretrain returns", kinds)
    assert_true(
        isinstance(history, list) and all(isinstance(record, dict) for record in history),
        f"pretrain returns no list of dicts but {kinds}",
        because="The history is a list with a dict for each evaluation, and pretrain returns it.",
    )


def test_a_record_has_five_keys(solution):
    lacking = sorted({key for record in train(solution, training()[:1]) for key in KEYS if key not in record})
    assert_equal(
        lacking, [], "the list of keys that a record lacks", because=f"Each record has the keys {', '.join(KEYS)}."
    )


def test_a_record_holds_plain_numbers(solution):
    for record in train(solution, training()[:1]):
        kinds = {key: type(record[key]).__name__ for key in KEYS}
        assert_equal(
            kinds, {key: "float" if key.endswith("loss") else "int" for key in KEYS}, "the dict of types in a record",
            because="Counts are ints and losses floats, as evaluate returns them: a tensor would keep its graph in "
            "memory.",
        )


def test_a_second_training_begins_anew(solution):
    model = taught()
    first, second = ([(r["epoch"], r["step"], r["tokens_seen"]) for r in train(solution, training()[:2],
    model)] for _ in range(2))
    because = f"Each call of pretrain has a history and counts of its own: nothing of one reaches the next. {OUTLIVES}"
    assert_equal(len(second), len(first), "the number of records of a second training", because=because)
    assert_equal(second, first, "the list of epoch, step and tokens_seen in a second training", because=because)


# --- when there is a record ----------------------------------------------------------------------


@pytest.mark.parametrize(("epochs", "every"), [(1, 1), (2, 2), (3, 4)])
def test_there_is_a_record_every_eval_every_updates(solution, epochs, every):
    # What is learned here is wrong there, so the validation loss rises all the time.
    ids = draw_ids("ids", 2, 3, vocab_size=V)
    train_batches, val = [(ids, torch.zeros_like(ids))] * 3, [(ids, torch.ones_like(ids))]
    history = train(solution, train_batches, val=val, epochs=epochs, eval_every=every)
    steps = [record["step"] for record in history]
    if steps and steps[-1] == 3 * epochs and steps[-1] % every:
        steps.pop()  # one more for what is left at the end will do
    observe("the steps as numbers", torch.tensor(steps, dtype=torch.float64))
    assert_equal(
        steps, [*range(every, 3 * epochs + 1, every)],
        f"the list of the records' steps, epochs={epochs} of 3 batches, eval_every={every},",
        because="A record follows update eval_every, 2 * eval_every and so on, counted from 1 over all epochs, whether "
        "or not the validation loss got better. Its step is the number of updates made.",
    )


def test_epochs_are_counted_from_one(solution):
    found = [record["epoch"] for record in train(solution, training()[:2], epochs=3)]
    observe("the epochs as numbers", torch.tensor(found, dtype=torch.float64))
    assert_equal(
        found, [1, 1, 2, 2, 3, 3], "the list of the records' epochs, epochs=3 of 2 batches, eval_every=1,",
        because="A record's epoch is that of its last update, from 1: updates 1 and 2 are epoch 1, 3 and 4 epoch 2, 5 "
        "and 6 epoch 3.",
    )


def test_tokens_seen_counts_the_training_tokens(solution):
    found = [record["tokens_seen"] for record in train(solution, training(), epochs=2)]
    observe("tokens_seen as numbers", torch.tensor(found, dtype=torch.float64))
    assert_equal(
        found, [6, 12, 16, 22, 28, 32], "the list of tokens_seen, epochs=2 of batches of 6, 6 and 4 tokens,",
        because="It is the number of targets in all training batches so far, over all epochs, the one just learned "
        "from included. A batch has B * T of them, and evaluations do not count.",
    )


def test_on_eval_gets_each_record(solution):
    given = []
    history = train(solution, training()[:2], on_eval=lambda *args: given.append(args))
    assert_equal(
        len(given), len(history), "the number of calls of on_eval, compared with that of the records,",
        because="on_eval(record) is called once for each record: this is how a caller prints, samples and saves.",
    )
    kinds = sorted({", ".join(("dict" if isinstance(arg,
    dict) else type(arg).__name__) for arg in args) for args in given})
    assert_equal(
        kinds, ["dict"], "the list of what on_eval is called with", because="It gets the new record and nothing else."
    )
    for (mine,), theirs in zip(given, history, strict=True):
        differs = [key for key in KEYS if mine.get(key) != theirs[key]]
        assert_equal(
            differs, [], "the list of keys in which a record of the history is another than on_eval was given",
            because="Both get the same record, a new dict each time, and nobody changes it afterwards.",
        )


def test_the_records_of_a_history_differ(solution):
    steps = [record["step"] for record in train(solution, training()[:2])]
    assert_equal(
        len(set(steps)), len(steps), "the number of different steps among the records",
        because="Each record is a dict of its own: one that is changed and appended again shows the last state "
        "everywhere.",
    )


# --- what stands in a record ---------------------------------------------------------------------


def moments(solution, **changes):
    """What on_eval finds: the records so far, and the model's table at each."""
    model, records, tables = taught(dropout=0.5), [], []

    def on_eval(record):
        records.append(dict(record))
        tables.append(model.table())

    train(solution, training()[:2], model, epochs=2, max_lr=0.3, min_lr=0.3, on_eval=on_eval, **changes)
    return records, tables


def test_a_record_comes_after_its_update(solution):
    _, tables = moments(solution)
    assert_true(
        not torch.equal(tables[0], taught().table()), "the model is as it came when on_eval gets the record of step 1",
        because="step counts the updates made: a record comes after optimizer.step(), and its losses are of then.",
    )


def test_training_goes_on_after_a_record(solution):
    _, tables = moments(solution)
    states = {tuple(table.flatten().tolist()) for table in tables}
    assert_equal(
        len(states), 4, "the number of different models that on_eval finds in 4 updates, eval_every=1,",
        because="on_eval(record) is called at once, before the next update: a caller samples from the model as it is "
        "then.",
    )


@pytest.mark.parametrize("eval_batches", [2, 9])
def test_the_validation_loss_is_that_of_the_model_at_that_moment(solution, eval_batches):
    records, tables = moments(solution, eval_batches=eval_batches)
    assert_close(
        torch.tensor([float(record["val_loss"]) for record in records]),
        torch.stack([mean_loss(table, validation()[:eval_batches]) for table in tables]).cpu(),
        f"val_loss of the records of 4 updates, eval_batches={eval_batches} of 3,",
        because="It is evaluate(model, val_loader, eval_batches), right after the update.",
    )


def test_the_training_loss_is_that_of_training_batches(solution):
    # With a rate of next to nothing and a single batch, every way to look at it gives the same.
    model, one = taught(), batch("train 0", 2, 3)
    for record in train(solution, [one], model, epochs=2, max_lr=1e-9, min_lr=1e-9):
        assert_close(
            torch.tensor(record["train_loss"]), mean_loss(taught().table(), [one]).cpu(),
            "train_loss, where all training batches are the same and the rate is 1e-9,",
            because="It is the mean cross-entropy of batches of train_loader, in nats, by evaluate over at most "
            "eval_batches.",
        )


def test_the_training_loss_is_over_eval_batches_too(solution):
    batches = training()
    loss = float(train(solution, batches, taught(), eval_every=3, max_lr=1e-9, min_lr=1e-9)[-1]["train_loss"])
    each = [float(mean_loss(taught().table(), [one])) for one in batches]
    assert_true(
        min(abs(loss - one) for one in each) < 1e-4,
        f"train_loss is {loss:.5g}, and with eval_batches=1 of 3 it is that of one batch: "
        f"{', '.join(f'{one:.5g}' for one in each)}",
        because="It is evaluate(model, train_loader, eval_batches), right after the update, as for val_loss: with all "
        "batches each record would take an epoch.",
    )


def test_the_batches_are_left_as_they_are(solution):
    batches, fresh = training(), training()
    train(solution, batches)
    for mine, theirs in zip(sum(batches, ()), sum(fresh, ()), strict=True):
        assert_identical(
            mine, theirs, "a batch of the loader's, after pretrain,",
            because="The loader gives out the same tensors in the next epoch: change none of them in place.",
        )


# --- a real model, and what is refused -----------------------------------------------------------


def test_a_gpt2_learns_a_text_from_a_data_loader(solution):
    model = problem(10).GPT2Model(tiny(n_layer=1, vocab_size=V)).to(draw("device", 1).device)
    problem(11).init_weights(model)
    windows = (torch.arange(60) % V).unfold(0, 9, 2)  # each token is followed by the next number
    loader = DataLoader(TensorDataset(windows[:, :-1], windows[:, 1:]), batch_size=13, shuffle=True)
    rates = {"max_lr": 0.05, "min_lr": 0.005, "warmup_steps": 1, "weight_decay": 0.1}
    loss = solution.pretrain(model, loader, loader, 2, **rates, eval_every=4, eval_batches=1)[-1]["val_loss"]
    assert_true(
        loss < 1.8, f"a small GPT-2 does not learn to count: its loss is {loss:.2f} after 4 updates, and ln V is 1.95",
        because="The pieces may be right each by itself: what counts is their order in an update (rate, loss, "
        "zero_grad, backward, clip, step), and that all of it happens to this model.",
    )


def test_pretrain_moves_the_data_to_the_models_device(solution):
    train_batches, val = on_the_cpu(training()), on_the_cpu(validation())
    assert_data_moves("pretrain", lambda model: solution.pretrain(model, train_batches, val, **SETTINGS))


@pytest.mark.parametrize(("name", "value"), [("epochs", 0), ("epochs", -1), ("eval_every", 0), ("eval_every", -2)])
def test_counts_below_one_are_refused(solution, name, value):
    with assert_raises(
        ValueError, f"pretrain(..., {name}={value})",
        because="epochs and eval_every are at least 1: ask before anything else, and say which value was wrong.",
    ):
        train(solution, training()[:1], **{name: value})


def test_an_empty_training_loader_is_refused(solution):
    with assert_raises(
        ValueError, "pretrain with an empty train_loader",
        because="There is nothing to learn from, as with a text that is too short for its windows: a ValueError says "
        "so, instead of an untrained model.",
    ):
        solution.pretrain(taught(), [], validation(), **SETTINGS)
